"""Whole scenes with the boxes of their objects: prepared from posed depth images, and read.

The set is a prepared one whose shapes are scenes, in metres and in the coordinates of their poses. Beside the
points each split has ``boxes.npz``: ``boxes`` (T, 6) and ``classes`` (T,) as in ``boxes.py``, and ``scene``
(T,) int64, the row of the scene that each lies in. The manifest's ``box_classes`` names the classes.
"""

import os
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from pointmcd.batch import Batch
from pointmcd.datasets.preparation.shape import CANDIDATES, PointSettings, Settings, shape_seed
from pointmcd.datasets.preparation.sources import SourceError
from pointmcd.datasets.preparation.writer import EncodedShape, SplitWriter, seal
from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.folders import check_name, replace_folder, sole_writer
from pointmcd.ops import farthest_point_sample
from pointmcd.progress import track
from pointmcd.registry import DATASETS
from projects.mvnet.mvnet.boxes import SceneBoxes, read_boxes
from projects.mvnet.mvnet.detection.suppression import points_inside
from projects.mvnet.mvnet.scenes import SCANNET20, read_scene

BOXES = "boxes.npz"
"""In the folder of a scene what ``write_boxes`` wrote, in that of a split all boxes of its scenes."""


def prepare_scenes_with_boxes(
    source: Path,
    out: Path,
    scenes: dict[str, Sequence[str]],
    num_points: int = 4096,
    least_points: int = 10,
    class_names: Sequence[str] = tuple(SCANNET20.values()),
    **reading: Any,
) -> dict[str, tuple[int, int, int]]:
    """Write posed RGB-D scenes, each as one cloud with its boxes, as a prepared set.

    Args:
        source: Folder of the scenes, in the layout of ``scenes.py``, each with a ``boxes.npz``.
        out: Folder of the set; must not exist yet.
        scenes: Names of the scenes of each split (``train``, ``test``).
        num_points: P of each scene, in farthest-point order, drawn from twice as many.
        least_points: A box that fewer points of the whole cloud lie in is left out: nobody saw the object.
        class_names: Of the boxes.
        reading: Arguments of ``read_scene``.

    Returns:
        For each split the number of its scenes, of their boxes, and of those left out.

    Raises:
        SourceError: A scene cannot be used, or ``out`` is there.
    """
    out = Path(os.path.realpath(out))
    if out.exists():
        raise SourceError(f"{out} exists; it was not touched. Choose another --out, or remove it")
    work = out.with_name(f"{out.name}.partial")
    with sole_writer(work / "lock", work):
        shutil.rmtree(work / "set", ignore_errors=True)
        counts = {}
        for split, names in scenes.items():
            folders = [source / check_name(name, "a scene") for name in names]
            counts[split] = _write_split(
                work / "set" / split, folders, num_points, least_points, len(class_names), reading
            )
        settings = Settings(PointSettings(num_points), None, None, visibility="none").to_dict()
        settings["points"]["normalization"] = "metres"
        seal(
            work / "set",
            {
                "source": "posed-scenes-with-boxes",
                "class_names": ["scene"],
                "part_names": None,
                "box_classes": list(class_names),
                "splits": {split: len(names) for split, names in scenes.items()},
                **settings,
                "rejected": [],
                "request": {"least_points": least_points, **reading},
                "made_with": {name: version(name) for name in ("pointmcd", "numpy", "torch")},
            },
        )
        replace_folder(work / "set", out)
        shutil.rmtree(work)
    return counts


def _write_split(
    folder: Path,
    scenes: Sequence[Path],
    num_points: int,
    least_points: int,
    num_classes: int,
    reading: dict[str, Any],
) -> tuple[int, int, int]:
    """Write one split; return the number of scenes, of boxes kept and of boxes left out."""
    writer = SplitWriter(folder, [path.name for path in scenes], [0] * len(scenes))
    kept, unseen = [], 0
    for path in track(scenes, f"{folder.name} scenes"):
        points, boxes = read_scene(path, **reading).points, _read_boxes(path, num_classes)
        seen = points_inside(points, boxes.boxes) >= least_points
        kept.append(SceneBoxes(boxes.boxes[seen], boxes.classes[seen]))
        unseen += int((~seen).sum())
        writer.add(EncodedShape({"points": spread_points(points, num_points, path.name)}))
    writer.close()
    arrays: dict[str, Any] = {
        "boxes": np.concatenate([one.boxes for one in kept]),
        "classes": np.concatenate([one.classes for one in kept]),
        "scene": np.repeat(np.arange(len(kept)), [len(one.classes) for one in kept]),
    }
    with open(folder / BOXES, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    return len(scenes), len(arrays["boxes"]), unseen


def _read_boxes(scene: Path, num_classes: int) -> SceneBoxes:
    path = scene / BOXES
    if not path.is_file():
        raise SourceError(f"{scene} has no {BOXES}: detection needs the boxes of its objects")
    try:
        found = read_boxes(path).aligned()
    except ValueError as error:
        raise SourceError(str(error)) from None
    if len(found.classes) and not 0 <= found.classes.min() <= found.classes.max() < num_classes:
        raise SourceError(f"{path}: there are {num_classes} classes, so {found.classes} cannot be right")
    return found


def spread_points(points: np.ndarray, count: int, name: str) -> np.ndarray:
    """Return ``count`` of the points (P, 3) of a scene in farthest-point order, repeated where it has fewer.

    Args:
        points: float32.
        count: How many.
        name: Of the scene; seeds the drawing of the candidates, twice ``count``.
    """
    if len(points) > CANDIDATES * count:
        draws = np.random.default_rng(shape_seed(name, 0))
        points = points[np.sort(draws.choice(len(points), CANDIDATES * count, replace=False))]
    order = farthest_point_sample(torch.from_numpy(points)[None], min(count, len(points)))[0].numpy()
    return points[np.resize(order, count)]


class SceneBatch(Batch, total=False):
    """A batch of ``ScenesWithBoxes``; K is the most boxes of a scene, 1 at least; others are padded."""

    boxes: Tensor  # (B, K, 6) float32, centre and size in metres
    box_classes: Tensor  # (B, K) int64; -1 where there is no box


@DATASETS.register_module()
class ScenesWithBoxes(PreparedShapes):
    """``PreparedShapes`` of scenes, in metres, that also reads the boxes of their objects.

    Args:
        data_root: As ``PreparedShapes``; of ``prepare_detection.py``.
        split: As ``PreparedShapes``.
        kwargs: As ``PreparedShapes``.

    Raises:
        ValueError: The set has no boxes.
    """

    def __init__(self, data_root: str, split: str, **kwargs: Any) -> None:
        super().__init__(data_root, split, **kwargs)
        path = self.prepared.root / self._stored_split / BOXES
        if "box_classes" not in self.prepared.manifest or not path.is_file():
            raise ValueError(f"{data_root} was prepared without boxes; see prepare_detection.py")
        with np.load(path, allow_pickle=False) as file:
            boxes, classes, scene = (file[name] for name in ("boxes", "classes", "scene"))
        first = np.searchsorted(scene, np.arange(len(self._data) + 1))
        self.boxes = [
            SceneBoxes(boxes[start:end], classes[start:end])
            for start, end in zip(first[self.rows], first[self.rows + 1], strict=True)
        ]

    @property
    def metainfo(self) -> dict[str, Any]:
        """As ``PreparedShapes``, and the names of the boxes' classes."""
        return {**super().metainfo, "box_classes": self.prepared.manifest["box_classes"]}

    def __getitems__(self, indices: Sequence[int]) -> SceneBatch:
        batch = cast(SceneBatch, super().__getitems__(indices))
        most = max(1, *(len(self.boxes[index].classes) for index in indices))
        batch["boxes"] = torch.zeros(len(indices), most, 6)
        batch["box_classes"] = torch.full((len(indices), most), -1)
        for row, index in enumerate(indices):
            boxes, classes, _ = self.boxes[index]
            batch["boxes"][row, : len(boxes)] = torch.from_numpy(boxes)
            batch["box_classes"][row, : len(boxes)] = torch.from_numpy(classes)
        return batch
