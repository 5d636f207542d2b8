"""Posed RGB-D scenes in ScanNet's layout, back-projected and cut into crops of a fixed number of points.

    <scene>/depth/<frame>.png     16 bits, millimetres, 0 where nothing was measured
            pose/<frame>.txt      4 x 4, camera to world, metres, z up; not finite where tracking was lost
            label/<frame>.png     class ids, drawn on the depth or the colour image; also ``label-filt``
            color/                not read: points have no colours here
            intrinsic/intrinsic_depth.txt, intrinsic_color.txt   4 x 4 (also ``intrinsics_depth.txt`` ...)

A crop is what lies in a ball, moved and scaled to the unit ball: lengths stay comparable between crops, and
whatever takes prepared shapes takes crops.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from pointmcd.datasets.preparation.shape import CANDIDATES, PointSettings, Settings, shape_seed
from pointmcd.datasets.preparation.sources import SourceError
from pointmcd.datasets.preparation.writer import EncodedShape, SplitWriter, seal
from pointmcd.files import read_json, write_json, written_aside
from pointmcd.folders import check_name, replace_folder, sole_writer
from pointmcd.geometry.correspondence import project, unproject
from pointmcd.ops import farthest_point_sample
from pointmcd.progress import track

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
JOB = "job.json"


class SceneCloud(NamedTuple):
    """What the frames of a scene show."""

    points: np.ndarray  # (P, 3) float32, metres
    classes: np.ndarray  # (P,) uint16, index into SCANNET20; their number where unlabelled


def read_scene(folder: Path, every: int = 1, stride: int = 2, voxel: float = 0.02) -> SceneCloud:
    """Back-projects the depth images of a scene.

    Args:
        folder: Of the scene.
        every: Take every so many frames.
        stride: Take every so many pixels.
        voxel: In metres; of the points in one voxel the first is kept.

    Raises:
        SourceError: A file is missing or not laid out as expected, or nothing was measured.
    """
    camera = _matrix(folder, "intrinsic/intrinsic_depth.txt", "intrinsics_depth.txt")[:3, :3]
    frames = sorted((folder / "depth").glob("*.png"), key=lambda path: (len(path.stem), path.stem))[::every]
    points, classes = [], []
    for path in frames:
        pose = _matrix(folder, f"pose/{path.stem}.txt")
        if not np.isfinite(pose).all():
            continue
        world_to_camera = np.linalg.inv(pose)[None, :3]
        depth = _image(path)[None] / 1000
        found, valid = unproject(depth, camera, world_to_camera, stride)
        points.append(found[valid])
        classes.append(_classes(folder, path.stem, points[-1], depth.shape[1:], camera, world_to_camera))
    if not points or not sum(map(len, points)):
        raise SourceError(f"{folder} shows nothing: {len(frames)} depth images, {len(points)} with a pose")
    cloud, of_class = np.concatenate(points), np.concatenate(classes)
    _, first = np.unique(np.floor(cloud / voxel).astype(np.int64), axis=0, return_index=True)
    rows = np.sort(first)
    return SceneCloud(cloud[rows].astype(np.float32), of_class[rows])


def _classes(
    folder: Path,
    frame: str,
    points: np.ndarray,
    size: tuple[int, ...],
    camera: np.ndarray,
    world_to_camera: np.ndarray,
) -> np.ndarray:
    """Return the class of each point, read from the frame's label image."""
    paths = [folder / kind / f"{frame}.png" for kind in ("label-filt", "label")]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise SourceError(f"{folder} has no label image of frame {frame} (label-filt/ or label/)")
    ids = _image(path)
    if ids.shape != size:  # labels are drawn on the colour images
        camera = _matrix(folder, "intrinsic/intrinsic_color.txt", "intrinsics_color.txt")[:3, :3]
    pixel, _ = project(points, camera, world_to_camera)
    column, row = np.floor(pixel[0]).astype(np.int64).T
    inside = (column >= 0) & (column < ids.shape[1]) & (row >= 0) & (row < ids.shape[0])
    table = np.full(max(int(ids.max()), *SCANNET20) + 1, len(SCANNET20), np.uint16)
    table[list(SCANNET20)] = np.arange(len(SCANNET20))
    classes = np.full(len(points), len(SCANNET20), np.uint16)
    classes[inside] = table[ids[row[inside], column[inside]]]
    return classes


def _matrix(folder: Path, *names: str) -> np.ndarray:
    """Return the 4 x 4 matrix of the first of these files that is there."""
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise SourceError(f"{folder} has no {' or '.join(names)}; is it a scene in ScanNet's layout?")
    try:
        matrix = np.loadtxt(path)
    except ValueError as error:
        raise SourceError(f"{path} is not readable: {error}") from error
    if matrix.shape not in ((4, 4), (3, 3)):
        raise SourceError(f"{path} holds {matrix.shape} numbers, needs a 4 x 4 matrix")
    return matrix


def _image(path: Path) -> np.ndarray:
    """One channel (H, W) of 8 or 16 bits."""
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 2:
        raise SourceError(f"{path} is not an image of one channel")
    return image


def crop_centers(points: np.ndarray, radius: float) -> np.ndarray:
    """Points (K, 3) of a scene (P, 3), in farthest-point order: so many that none of the others lies farther
    than ``radius`` from all of them.
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


def crops(cloud: SceneCloud, num_points: int, radius: float, name: str) -> Iterator[EncodedShape]:
    """Balls that cover a scene, each with a fixed number of points.

    Centres are points of the scene, half a radius apart or more. A crop's points are in farthest-point order,
    drawn from twice as many; a ball with fewer repeats them.

    Args:
        cloud: The scene.
        num_points: P of each crop.
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
        yield EncodedShape({"points": inside.numpy()[order], "parts": cloud.classes[rows[order]]})


def prepare_scenes(
    source: Path,
    out: Path,
    scenes: dict[str, Sequence[str]],
    num_points: int = 4096,
    radius: float = 1.5,
    **reading: Any,
) -> dict[str, int]:
    """Write the crops of posed RGB-D scenes as a prepared set; after an interrupt the same call goes on.

    Args:
        source: Folder of the scenes.
        out: Folder of the set; must not exist yet.
        scenes: Names of the scenes of each split (``train``, ``test``).
        num_points: P of each crop.
        radius: Of a crop, in metres.
        reading: Arguments of `read_scene`.

    Returns:
        The number of crops of each split.

    Raises:
        SourceError: A scene cannot be used, or ``out`` is there.
    """
    out = Path(os.path.realpath(out))
    if out.exists():
        raise SourceError(f"{out} is there; it is left as it is. Choose another --out, or remove it")
    work = out.with_name(f"{out.name}.partial")
    request = {"num_points": num_points, "radius": radius, **reading}
    every_name = [check_name(name, "a scene") for names in scenes.values() for name in names]
    with sole_writer(work / "lock", work):
        if (work / JOB).is_file() and read_json(work / JOB) != request:
            raise SourceError(f"{work} is the unfinished work of a run with other settings; remove it")
        (work / "scenes").mkdir(exist_ok=True)
        for left in (work / "scenes").glob("*.tmp"):  # of processes that were killed
            left.unlink()
        write_json(work / JOB, request)
        for name in track(every_name, "scenes"):
            if not (work / "scenes" / f"{name}.npz").is_file():
                _cut(source / name, work / "scenes" / f"{name}.npz", num_points, radius, reading)
        shutil.rmtree(work / "set", ignore_errors=True)
        counts = {split: _assemble(work, split, names) for split, names in scenes.items()}
        seal(work / "set", _header(scenes, counts, radius, request))
        replace_folder(work / "set", out)
        shutil.rmtree(work)
    return counts


def _header(
    scenes: dict[str, Sequence[str]], counts: dict[str, int], radius: float, request: dict[str, Any]
) -> dict[str, Any]:
    """Return what the manifest says beyond the files."""
    settings = Settings(PointSettings(request["num_points"]), None, None, visibility="none").to_dict()
    settings["points"]["normalization"] = f"ball of {radius} m"
    return {
        "source": "posed-scenes",
        "class_names": ["scene"],
        "part_names": [*SCANNET20.values(), UNLABELLED],
        "class_parts": [list(range(len(SCANNET20)))],
        "splits": counts,
        **settings,
        "rejected": [],
        "request": {"scenes": {split: list(names) for split, names in scenes.items()}, **request},
        "made_with": {name: version(name) for name in ("pointmcd", "numpy", "torch")},
    }


def _cut(folder: Path, path: Path, num_points: int, radius: float, reading: dict[str, Any]) -> None:
    """Write the crops of one scene as one file, which is there when it is whole."""
    pieces = list(crops(read_scene(folder, **reading), num_points, radius, folder.name))
    arrays = {key: np.stack([piece.arrays[key] for piece in pieces]) for key in ("points", "parts")}
    with written_aside(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def _assemble(work: Path, split: str, names: Sequence[str]) -> int:
    """Write a split of the set from the scenes' files; return the number of its crops."""

    def stored() -> Iterator[tuple[str, Any]]:
        for name in names:
            with np.load(work / "scenes" / f"{name}.npz") as file:
                yield name, {key: file[key] for key in ("points", "parts")}

    titles = [f"{name}/{number:04d}" for name, cut in stored() for number in range(len(cut["points"]))]
    writer = SplitWriter(work / "set" / split, titles, [0] * len(titles))
    for _, cut in stored():
        for points, parts in zip(cut["points"], cut["parts"], strict=True):
            writer.add(EncodedShape({"points": points, "parts": parts}))
    writer.close()
    return len(titles)
