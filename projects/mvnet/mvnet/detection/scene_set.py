"""Whole scenes with the boxes of their objects, read from a set that ``preparation.py`` made.

The set is a prepared one whose shapes are scenes, in metres and in the coordinates of their poses. Beside the
points each split has ``boxes.npz``: ``boxes`` (T, 6) and ``classes`` (T,) as in ``boxes.py``, and ``scene``
(T,) int64, the row of the scene that each lies in. The manifest's ``box_classes`` names the classes.
"""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from pointmcd.batch import Batch
from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.registry import DATASETS
from projects.mvnet.mvnet.array_files import read_arrays
from projects.mvnet.mvnet.boxes import SceneBoxes

BOXES = "boxes.npz"
"""In the folder of a scene what ``write_boxes`` wrote, in that of a split all boxes of its scenes."""


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
        arrays = read_arrays(path)
        boxes, classes, scene = (arrays[name] for name in ("boxes", "classes", "scene"))
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
