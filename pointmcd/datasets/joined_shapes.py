"""Shapes of several prepared sets in one loader: those with labels first, and others to learn from beside."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pointmcd.batch import Batch
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.prepared_shapes import PreparedShapes, joined
from pointmcd.datasets.teacher_cache import KIND, TeacherCache
from pointmcd.registry import DATASETS

OF_TEACHER = {
    "class_names": "says other classes than",
    "fitted": "was fitted otherwise than",
    "teacher": "is of other networks, or of other settings, than",
    "probe": "has another probe than",
}
"""What the caches of one teacher have in common, as far as they say it; older ones say less."""
OF_LABELS = ("label_fraction", "fraction_seed", "unlabelled", "without_fold", "copies")


class _FurtherShapes(PreparedShapes):
    """Shapes whose teacher says the classes of the first set."""

    def _check_classes(self, cache: TeacherCache) -> None:
        pass


@DATASETS.register_module()
class JoinedShapes(PreparedShapes):
    """Shapes of a prepared set, as ``PreparedShapes``, and after them all training shapes of further sets.

    Nothing is known of the labels of these; a teacher speaks of them. An epoch has as many draws as the first
    set has shapes (``LabelledShareSampler``), so that a training without the further sets has as many steps.

    Args:
        data_root: Folder of the set with the labels.
        split: Of that set; of the others it is ``train``.
        further: Folders of the others. Each holds a cache of the teacher, written together
            (``cache_teacher.py --further``).
        options: As ``PreparedShapes``; those that say which labels are known are of the first set.

    Attributes:
        is_further: (S,) bool, whether a shape is of a further set.
        epoch_size: Shapes of the first set.

    Raises:
        ValueError: As ``PreparedShapes``; or the teachers of the sets have seen different labels, say
            different things, or are different ones.
    """

    def __init__(self, data_root: str, split: str, further: Sequence[str], **options: Any) -> None:
        super().__init__(data_root, split, **options)
        own = {name: value for name, value in options.items() if name not in OF_LABELS}
        teacher = options.get("teacher")
        for root in further:
            folder = PreparedSet(root).root / KIND / str(teacher)
            if teacher is not None and not (folder / "meta.json").is_file():
                raise FileNotFoundError(
                    f"there is no finished cache {folder}; those of all sets are written together:\n"
                    f"pointmcd cache-teacher --frozen ... --data {data_root} "
                    f"--further {' '.join(map(str, further))} --name {teacher}"
                )
        self.sets: list[PreparedShapes] = [
            _FurtherShapes(root, "train", **own, unlabelled="all") for root in further
        ]
        for root, one in zip(further, self.sets, strict=True):
            if self.with_parts and one.prepared.class_names != self.prepared.class_names:
                raise ValueError(
                    f"{root} has different categories from {data_root}; with parts they must be the same"
                )
            self._check_teacher(data_root, root, one)
        self.epoch_size = len(self.rows)
        self._starts = np.cumsum([self.epoch_size, *(len(one) for one in self.sets)])
        self.is_further = np.arange(self._starts[-1]) >= self.epoch_size
        self.labels = np.concatenate([self.labels, *(one.labels for one in self.sets)])
        self.labelled = np.concatenate([self.labelled, *(one.labelled for one in self.sets)])

    def _check_teacher(self, first: str, root: str, other: PreparedShapes) -> None:
        if self.teacher is None or other.teacher is None:
            return
        write = f"pointmcd cache-teacher --frozen ... --data {first} --further {root}"
        if self.labels_seen != other.labels_seen:
            raise ValueError(
                f"the teacher of {root} has seen different labels from that of {first}; write both: {write}"
            )
        said, told = other.teacher.cache.meta, self.teacher.cache.meta
        for name, differs in OF_TEACHER.items():
            if name in said and name in told and said[name] != told[name]:
                raise ValueError(
                    f"the teacher of {root} {differs} that of {first}; write both at once: {write}"
                )
        here, there = (
            {name: array.shape[2 if name.startswith("point_") else 1 :] for name, array in one.arrays.items()}
            for one in (self.teacher, other.teacher)
        )
        if here != there:
            raise ValueError(
                f"the teachers of {first} and {root} give different outputs, {here} and {there}; write "
                f"both at once: {write}"
            )

    @property
    def taught_by(self) -> list[str]:
        """What tells the caches of the teacher, of all sets, from others."""
        return [*super().taught_by, *(one for other in self.sets for one in other.taught_by)]

    @property
    def names(self) -> list[str]:
        """S names, of the shapes."""
        return [*super().names, *(name for one in self.sets for name in one.names)]

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Return the batch of these shapes, in their order."""
        index = np.asarray(indices, np.int64)
        of_set = np.searchsorted(self._starts, index, side="right")
        parts, places = [], []
        for number in np.unique(of_set):
            place = np.flatnonzero(of_set == number)
            places.append(place)
            if number == 0:
                parts.append(super().__getitems__(index[place].tolist()))
            else:
                own = index[place] - self._starts[number - 1]
                parts.append(self.sets[number - 1].__getitems__(own.tolist()))
        batch = joined(parts, torch.from_numpy(np.argsort(np.concatenate(places))))
        batch["index"] = torch.from_numpy(index)
        return batch
