"""Boxes of objects as ScanNet and SUN RGB-D store them, in the form of `boxes`.

ScanNet, beside what `room_files` reads:

    <scene>/<scene>.aggregation.json (or <scene>_vh_clean.aggregation.json)     the segments of each object
            <scene>_vh_clean_2.0.010000.segs.json                               the segment of each vertex
    scannetv2-labels.combined.tsv                                               raw names to NYU40 ids

SUN RGB-D, a folder a frame (how its images are read: `frames`):

    <frame>/annotation3Dfinal/index.json    objects: floor polygon X, Z, heights Ymin, Ymax; metres, y down
"""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pointmcd.datasets.preparation.sources import SourceError
from projects.mvnet.mvnet.boxes import SceneBoxes, box_around
from projects.mvnet.mvnet.frames import first_of
from projects.mvnet.mvnet.room_files import read_mesh
from projects.mvnet.mvnet.scenes import SCANNET20

NO_OBJECTS = ("wall", "floor")
"""Of ScanNet's 20 classes those that the benchmark of boxes leaves out."""
SUNRGBD10 = (
    "bed",
    "table",
    "sofa",
    "chair",
    "toilet",
    "desk",
    "dresser",
    "night_stand",
    "bookshelf",
    "bathtub",
)
"""The classes of SUN RGB-D's benchmark of boxes; the order is VoteNet's."""


def read_label_map(path: Path) -> dict[str, int]:
    """Read which class (by position in ``SCANNET20``) ScanNet's raw names are; others are left out.

    Raises:
        SourceError: The file is no table, or has no columns ``raw_category`` and ``nyu40id``.
    """
    classes = {ids: place for place, ids in enumerate(SCANNET20)}
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path} is not scannetv2-labels.combined.tsv: {error}") from error
    if not rows or not {"raw_category", "nyu40id"} <= rows[0].keys():
        raise SourceError(
            f"{path} has no columns raw_category and nyu40id; is it scannetv2-labels.combined.tsv?"
        )
    numbers = {row["raw_category"]: row["nyu40id"] for row in rows}
    return {
        name: classes[int(number)]
        for name, number in numbers.items()
        if number and number.isdecimal() and int(number) in classes
    }


def read_scannet_boxes(folder: Path, label_map: dict[str, int]) -> SceneBoxes:
    """Put an axis-aligned box around the vertices of each object of a scene of ScanNet.

    Args:
        folder: Of the scene.
        label_map: Of `read_label_map`.

    Returns:
        Boxes of the classes of ``SCANNET20`` but wall and floor, in the scene's aligned axes.

    Raises:
        SourceError: A file is missing or not laid out as expected.
    """
    with _laid_out(folder):
        return _scannet_boxes(folder, label_map)


def _scannet_boxes(folder: Path, label_map: dict[str, int]) -> SceneBoxes:
    points = read_mesh(folder).points
    name = folder.name
    segments = np.array(_json(folder, [f"{name}_vh_clean_2.0.010000.segs.json"])["segIndices"], np.int64)
    if segments.shape != (len(points),):
        raise SourceError(f"{folder}: {len(segments)} vertices have a segment, the mesh has {len(points)}")
    groups = _json(folder, [f"{name}.aggregation.json", f"{name}_vh_clean.aggregation.json"])["segGroups"]
    kept = [place for place, title in enumerate(SCANNET20.values()) if title not in NO_OBJECTS]
    boxes, classes = [], []
    for group in groups:
        of_object = np.isin(segments, group["segments"])
        place = label_map.get(group["label"])
        if place in kept and of_object.any():
            boxes.append(box_around(points[of_object]))
            classes.append(place)
    return SceneBoxes(np.array(boxes, np.float32).reshape(-1, 6), np.array(classes, np.int64))


def read_sunrgbd_boxes(folder: Path) -> SceneBoxes:
    """Read the boxes of a frame of SUN RGB-D; a box's x axis is the side from its front to its back.

    The world is that of the frame's points: x right, y forward, z up, the camera in the origin.

    Args:
        folder: Of the frame.

    Returns:
        Boxes of the classes of ``SUNRGBD10``, with headings.

    Raises:
        SourceError: A file is missing or not laid out as expected.
    """
    with _laid_out(folder):
        return _sunrgbd_boxes(folder)


def _sunrgbd_boxes(folder: Path) -> SceneBoxes:
    boxes, classes, headings = [], [], []
    for thing in _json(folder, ["annotation3Dfinal/index.json"])["objects"]:
        name = str((thing or {}).get("name", "")).partition(":")[0].rstrip("_ ")
        if name not in SUNRGBD10 or not thing.get("polygon"):
            continue
        outline = thing["polygon"][0]
        corners = np.array([outline["X"], outline["Z"]], np.float64).T
        if corners.shape != (4, 2):
            continue  # not a box
        low, high = sorted((-outline["Ymin"], -outline["Ymax"]))
        center = (corners[0] + corners[2]) / 2
        forward = (corners[0] + corners[1]) / 2 - center
        long, wide = np.linalg.norm(corners[2] - corners[1]), np.linalg.norm(corners[1] - corners[0])
        boxes.append([*center, (low + high) / 2, long, wide, high - low])
        classes.append(SUNRGBD10.index(name))
        headings.append(np.arctan2(forward[1], forward[0]))
    return SceneBoxes(
        np.array(boxes, np.float32).reshape(-1, 6),
        np.array(classes, np.int64),
        np.array(headings, np.float32),
    )


@contextmanager
def _laid_out(folder: Path) -> Iterator[None]:
    """Name the folder of JSON that lacks a key or holds values of another kind."""
    try:
        yield
    except SourceError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise SourceError(f"{folder}: its annotation is not laid out as expected ({error!r})") from error


def _json(folder: Path, names: list[str]) -> dict[str, Any]:
    path = first_of(folder, names)
    if path is None:
        raise SourceError(f"{folder} has no {' or '.join(names)}")
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise SourceError(f"{path} is not JSON: {error}") from error
