"""Clouds of whole scenes, fused from posed RGB-D frames or read as they are, and the crops that networks see.

A crop is what lies in a ball, moved and scaled to the unit ball: lengths stay comparable between crops, and
whatever takes prepared shapes takes crops. How frames lie on the disk is said in `frames`.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pointmcd.datasets.preparation.shape import CANDIDATES, shape_seed
from pointmcd.datasets.preparation.sources import SourceError
from pointmcd.datasets.preparation.sources.walk import say
from pointmcd.geometry.correspondence import unproject
from pointmcd.ops import farthest_point_sample
from projects.mvnet.mvnet.frames import Frame, posed_frames

SCANNET20 = {
    1: "wall",
    2: "floor",
    3: "cabinet",
    4: "bed",
    5: "chair",
    6: "sofa",
    7: "table",
    8: "door",
    9: "window",
    10: "bookshelf",
    11: "picture",
    12: "counter",
    14: "desk",
    16: "curtain",
    24: "refrigerator",
    28: "shower curtain",
    33: "toilet",
    34: "sink",
    36: "bathtub",
    39: "other furniture",
}
"""The 20 classes of ScanNet's benchmark by their NYU40 ids; all other ids are unlabelled."""
UNLABELLED = "unlabelled"
VOXEL = 0.02
"""Side of the voxels that keep one point of a scene each, in metres."""


class SceneCloud(NamedTuple):
    """The points of a scene."""

    points: np.ndarray  # (P, 3) float32, metres
    classes: np.ndarray | None = None  # (P,) uint16; the number of classes where unlabelled; None: no labels
    colors: np.ndarray | None = None  # (P, 3) uint8

    def rows(self, rows: np.ndarray) -> "SceneCloud":
        """Return some of the points, with what belongs to them."""
        return SceneCloud(*(None if array is None else array[rows] for array in self))  # type: ignore[arg-type]

    def thinned(self, voxel: float) -> "SceneCloud":
        """Return the first point of each voxel of that side, in metres."""
        cells = np.floor(self.points.astype(np.float64) / voxel).astype(np.int64)
        return self.rows(np.sort(np.unique(cells, axis=0, return_index=True)[1]))


def read_scene(
    folder: Path,
    every: int = 1,
    stride: int = 2,
    voxel: float = VOXEL,
    first: int | None = None,
    last: int | None = None,
) -> SceneCloud:
    """Fuse the depth images of a scene.

    Args:
        folder: Of the scene.
        every: Take every so many frames.
        stride: Take every so many pixels.
        voxel: In metres; of the points in one voxel the first is kept.
        first: Least number of a frame, or None for all frames.
        last: Greatest number of a frame.

    Raises:
        SourceError: A file is missing or not laid out as expected, or nothing was measured.
    """
    cloud = fuse(posed_frames(folder, every, first, last), stride, str(folder))
    if cloud is None:
        raise SourceError(f"{folder} shows nothing: no frame there has both a pose and measured depth")
    return cloud.thinned(voxel)


def fuse(frames: Iterable[Frame], stride: int, name: str) -> SceneCloud | None:
    """Return what frames show, at every so many pixels; None where that is nothing.

    Where a frame has no picture the scene has no colours. If others have one, that is said.

    Args:
        frames: Of the scene.
        stride: Take every so many pixels.
        name: Of the scene, for messages.
    """
    points, classes, colors, bare = [], [], [], []
    table = class_table()
    for frame in frames:
        found, valid = unproject(frame.depth[None], frame.camera, frame.world_to_camera[None], stride)
        seen = valid[0]
        points.append(found[0][seen].astype(np.float32))
        nodes = slice(stride // 2, None, stride), slice(stride // 2, None, stride)
        if frame.ids is not None:
            classes.append(table[np.minimum(frame.ids[nodes][seen], len(table) - 1)])
        if frame.color is not None:
            colors.append(frame.color[nodes][seen])
        else:
            bare.append(frame.name)
    if colors:
        say(bare, f"of {len(points)} frames of {name} without a picture, so that the scene has no colours")
    if not sum(map(len, points)):
        return None
    return SceneCloud(
        np.concatenate(points),
        np.concatenate(classes) if len(classes) == len(points) else None,
        np.concatenate(colors) if not bare else None,
    )


def class_table() -> np.ndarray:
    """Return the class of each NYU40 id: (42,) uint16, the last one of any id beyond."""
    table = np.full(42, len(SCANNET20), np.uint16)
    table[list(SCANNET20)] = np.arange(len(SCANNET20))
    return table


def crop_centers(points: np.ndarray, radius: float) -> np.ndarray:
    """Choose points (K, 3) of a scene (P, 3), in farthest-point order.

    There are so many that none of the others lies farther than ``radius`` from all of them.
    """
    cloud, count = torch.from_numpy(points)[None], 1
    while True:
        count = min(2 * count, len(points))
        centers = points[farthest_point_sample(cloud, count)[0].numpy()]
        # Each is the point farthest from those before it: when one is near, all others are nearer.
        for number in range(1, count):
            if np.linalg.norm(centers[:number] - centers[number], axis=1).min() <= radius:
                return centers[:number]
        if count == len(points):
            return centers


class Crop(NamedTuple):
    """A ball of a scene."""

    center: np.ndarray  # (3,) float32, metres
    rows: np.ndarray  # (N,) int64, of the scene's points
    points: np.ndarray  # (N, 3) float32, in the unit ball

    def arrays(self, cloud: SceneCloud) -> dict[str, np.ndarray]:
        """Return what a prepared set holds of it."""
        arrays = {"points": self.points}
        if cloud.classes is not None:
            arrays["parts"] = cloud.classes[self.rows]
        if cloud.colors is not None:
            arrays["colors"] = cloud.colors[self.rows]
        return arrays


def crops(cloud: SceneCloud, num_points: int, radius: float, name: str) -> Iterator[Crop]:
    """Cut balls that cover a scene, each with a fixed number of points.

    Centres are points of the scene, half a radius apart or more. A crop's points are in farthest-point order,
    drawn from twice as many; a ball with fewer repeats them.

    Args:
        cloud: The scene.
        num_points: N of each crop.
        radius: Of the balls, in metres; length 1 of a crop.
        name: Of the scene; seeds the drawing.
    """
    draws = np.random.default_rng(shape_seed(name, 0))
    for center in crop_centers(cloud.points, radius / 2):
        rows = np.flatnonzero(np.linalg.norm(cloud.points - center, axis=1) <= radius)
        if len(rows) > CANDIDATES * num_points:
            rows = draws.choice(rows, CANDIDATES * num_points, replace=False)
        inside = torch.from_numpy((cloud.points[rows] - center) / np.float32(radius))
        order = farthest_point_sample(inside[None], min(num_points, len(rows)))[0].numpy()
        order = np.resize(order, num_points)
        yield Crop(center, rows[order], inside.numpy()[order])
