"""Boxes around the objects of a scene: the one form in which they are read, trained on and compared.

A scene has ``boxes`` (K, 6) float32, centre x, y, z and size along x, y, z in metres, z up, and ``classes``
(K,) int64. Boxes that stand turned have ``headings`` (K,) float32 too: the angle in radians about z, from x
towards y, by which the box was turned about its centre; the size is that before the turn. Without headings
(None) all are axis-aligned. As a file: `write_boxes`, an ``.npz`` of these arrays.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from projects.mvnet.mvnet.array_files import read_arrays, write_arrays


class SceneBoxes(NamedTuple):
    """The boxes of one scene; see the module for their form."""

    boxes: np.ndarray  # (K, 6) float32: centre, size, metres
    classes: np.ndarray  # (K,) int64
    headings: np.ndarray | None = None  # (K,) float32, radians about z; None: axis-aligned

    def aligned(self) -> "SceneBoxes":
        """Return the smallest axis-aligned boxes around these; classes and order stay."""
        if self.headings is None:
            return self
        cos, sin = np.abs(np.cos(self.headings)), np.abs(np.sin(self.headings))
        x, y, z = self.boxes[:, 3:].T
        size = np.stack([cos * x + sin * y, sin * x + cos * y, z], axis=1)
        return SceneBoxes(np.hstack([self.boxes[:, :3], size]).astype(np.float32), self.classes)


def box_around(points: np.ndarray) -> np.ndarray:
    """Return the smallest axis-aligned box (6,) float32 around points (P, 3), P at least 1."""
    low, high = points.min(axis=0), points.max(axis=0)
    return np.concatenate([(low + high) / 2, high - low]).astype(np.float32)


def box_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the intersection over union of the volumes of axis-aligned boxes.

    Args:
        first: (K, 6) centres and sizes.
        second: (M, 6) likewise.

    Returns:
        (K, M) float64 in [0, 1]; 0 where both boxes have no volume.
    """
    ours, theirs = np.asarray(first, np.float64)[:, None], np.asarray(second, np.float64)[None]
    high = np.minimum(ours[..., :3] + ours[..., 3:] / 2, theirs[..., :3] + theirs[..., 3:] / 2)
    low = np.maximum(ours[..., :3] - ours[..., 3:] / 2, theirs[..., :3] - theirs[..., 3:] / 2)
    shared = np.maximum(high - low, 0).prod(axis=-1)
    union = ours[..., 3:].prod(axis=-1) + theirs[..., 3:].prod(axis=-1) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def write_boxes(path: Path, scene: SceneBoxes) -> None:
    """Write the boxes of a scene as an ``.npz``; the file is there when it is whole."""
    arrays: dict[str, Any] = {
        "boxes": scene.boxes.astype(np.float32),
        "classes": scene.classes.astype(np.int64),
    }
    if scene.headings is not None:
        arrays["headings"] = scene.headings.astype(np.float32)
    write_arrays(path, arrays)


def read_boxes(path: str | os.PathLike[str]) -> SceneBoxes:
    """Read what `write_boxes` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or the arrays are not of that form.
    """
    arrays = read_arrays(path)
    if not {"boxes", "classes"} <= arrays.keys():
        raise ValueError(f"{path} holds {', '.join(arrays)}; boxes and classes are needed")
    boxes, classes, headings = arrays["boxes"], arrays["classes"], arrays.get("headings")
    count = len(boxes) if boxes.ndim else 0
    if boxes.shape != (count, 6) or classes.shape != (count,) or classes.dtype != np.int64:
        raise ValueError(
            f"{path}: boxes {boxes.shape} and classes {classes.shape} {classes.dtype} do not fit"
        )
    if not np.isfinite(boxes).all() or (boxes[:, 3:] < 0).any():
        raise ValueError(f"{path}: a box is not finite, or its size is below 0")
    if headings is not None and headings.shape != (count,):
        raise ValueError(f"{path}: {headings.shape} headings for {count} boxes")
    return SceneBoxes(boxes, classes, headings)
