"""The one dataset class: rows of a prepared set, a whole batch at a time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from pointmcd.batch import Batch
from pointmcd.datasets.prepared import PreparedSet
from pointmcd.datasets.teacher_cache import TeacherCache
from pointmcd.registry import DATASETS, FUNCTIONS

HELD_OUT_EVERY = 5


@DATASETS.register_module()
class PreparedShapes(Dataset):
    """Shapes of a prepared set (``tools/prepare_data.py``), read from memory-mapped arrays.

    Args:
        data_root: Folder of the prepared set; a tool hands its top-level ``data_root`` to every dataset.
        split: ``train``, ``test``, or one of the two parts of train that hyper-parameters are chosen on:
            ``fit`` and ``held_out`` (every 5th shape of each class).
        num_points: N, the first so many of each shape's points (farthest-point order, so any prefix is a
            good sample).
        normals: Load ``normals``.
        visibility: Load the ``visibility`` masks.
        parts: Load ``parts``.
        views: How many of the views to load: 0, ``"all"``, or so many drawn anew, without replacement,
            each time.
        teacher: Name of a teacher cached for this set, whose rows are loaded, or None.

    Raises:
        ValueError: What is asked for is not in the prepared set.
    """

    def __init__(
        self,
        data_root: str,
        split: str,
        num_points: int = 1024,
        normals: bool = False,
        visibility: bool = False,
        parts: bool = False,
        views: int | str = 0,
        teacher: str | None = None,
    ) -> None:
        self.prepared = PreparedSet(data_root)
        self.split_name = split
        self.rows, self._data = self._choose(split)
        self.num_points = num_points
        self.with_normals, self.with_parts, self.with_visibility = normals, parts, visibility
        self.views = self.prepared.num_views if views == "all" else int(views)
        self.teacher = None if teacher is None else TeacherCache(data_root, teacher).split(self._stored_split)
        self._check(data_root)

    def _choose(self, split: str) -> tuple[np.ndarray, Any]:
        self._stored_split = "train" if split in ("fit", "held_out") else split
        data = self.prepared.split(self._stored_split)
        labels = np.asarray(data.labels)
        if split not in ("fit", "held_out"):
            return np.arange(len(labels)), data
        held_out = np.zeros(len(labels), bool)
        for label in np.unique(labels):
            held_out[np.flatnonzero(labels == label)[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]] = True
        return np.flatnonzero(held_out if split == "held_out" else ~held_out), data

    def _check(self, root: str) -> None:
        stored = self.prepared.num_points
        if not 1 <= self.num_points <= stored:
            raise ValueError(f"num_points is {self.num_points}, but {root} holds {stored} points a shape")
        lacking = [
            name
            for name, wanted, there in (
                ("visibility", self.with_visibility, self._data.visibility is not None),
                ("parts", self.with_parts, self._data.parts is not None),
                ("views", self.views > 0, self.prepared.has_views),
            )
            if wanted and not there
        ]
        if lacking:
            raise ValueError(f"{root} was prepared without {', '.join(lacking)} (see its manifest.json)")
        if self.views > self.prepared.num_views:
            raise ValueError(
                f"views is {self.views}, but {root} holds {self.prepared.num_views} views a shape"
            )

    @property
    def metainfo(self) -> dict[str, Any]:
        """Class names, which MMEngine stores in checkpoints and hands to metrics."""
        return {"classes": self.prepared.class_names, "num_views": self.prepared.num_views}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        """A batch of one."""
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """The batch of these shapes; the loader's ``collate_fn`` has nothing left to do."""
        rows = self.rows[np.asarray(indices, np.int64)]
        count = self.num_points
        batch: Batch = {
            "index": torch.from_numpy(np.asarray(indices, np.int64)),
            "points": _tensor(self._data.points, rows, count),
            "label": torch.from_numpy(np.asarray(self._data.labels)[rows].astype(np.int64)),
        }
        if self.with_normals:
            batch["normals"] = _tensor(self._data.normals, rows, count)
        if self.with_visibility:
            batch["visibility"] = _tensor(self._data.visibility, rows, count).view(torch.int32)
        if self.with_parts:
            batch["parts"] = _tensor(self._data.parts, rows, count).long()
        if self.views:
            batch["views"], batch["view_index"] = self._load_views(rows)
        if self.teacher is not None:
            batch["teacher"] = self.teacher.rows(rows)
        return batch

    def _load_views(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        total = self.prepared.num_views
        if self.views == total:
            chosen = torch.arange(total).expand(len(rows), total)
        else:
            chosen = torch.rand(len(rows), total).argsort(1)[:, : self.views].sort(1).values
        images = np.stack(
            [
                np.stack([self._data.views.read(int(row), int(view)) for view in views])
                for row, views in zip(rows, chosen, strict=True)
            ]
        )
        return torch.from_numpy(images).permute(0, 1, 4, 2, 3), chosen.contiguous()


def _tensor(array: np.ndarray, rows: np.ndarray, count: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([array[row, :count] for row in rows]))


@FUNCTIONS.register_module()
def whole_batch(batch: Batch) -> Batch:
    """The ``collate_fn`` of ``PreparedShapes``: a batch is already one."""
    return batch
