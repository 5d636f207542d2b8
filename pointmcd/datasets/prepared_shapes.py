"""The one dataset class: rows of a prepared set, a whole batch at a time."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import Dataset

from pointmcd.batch import Batch
from pointmcd.datasets.label_choice import PARTS_OF_TRAIN, check_labels_seen, labelled_rows, rows_of_split
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.prepared_split import Encoded, Rows
from pointmcd.datasets.teacher_cache import TeacherCache
from pointmcd.registry import DATASETS, FUNCTIONS

COPIES = "copies"
UNLABELLED = (None, "rest", "all")
PREPARED_BY = {"visibility": "--visibility ray", "views": "views (without --no-views)", "depths": "--depths"}
"""What ``pointmcd prepare`` makes of any surface; all else is its source's."""


@DATASETS.register_module()
class PreparedShapes(Dataset):
    """Shapes of a prepared set (``pointmcd prepare``), read from memory-mapped arrays.

    Args:
        data_root: Folder of the prepared set; a tool hands its top-level ``data_root`` to every dataset.
        split: ``train``, ``test``, or one of the two parts of train that hyper-parameters are chosen on:
            ``fit`` and ``held_out`` (every 5th shape of each class).
        num_points: N, the first so many of each shape's points (farthest-point order: any prefix is even).
        normals: Load ``normals``, which a network of ``in_channels=6`` sees beside the points.
        colors: Load ``colors``, which a network sees too: after the normals, where both are loaded.
        visibility: Load the ``visibility`` masks.
        parts: Load ``parts``.
        views: How many of the views to load: 0, ``"all"``, or so many drawn anew, without replacement,
            each time.
        part_views: Load the label images of those views as ``part_views``.
        depths: Load the depth images of those views as ``depths``.
        label_fraction: Share of each class's shapes whose labels are known, in (0, 1]; at least one of each
            class. A larger share holds the smaller ones of the same seed.
        fraction_seed: Seeds which shapes these are.
        without_fold: ``(k, K)``: the labels of the k-th of K folds are not known either, so that a teacher
            trained without them can speak of those shapes (``fold_numbers``; a class with fewer labelled
            shapes than K is in no fold, and known to all).
        unlabelled: Which shapes come without their label (-1; of a set with parts, without their parts):
            None for none, so that only the labelled ones are there, ``rest`` for the others of the split, or
            ``all``.
        copies: Each time draw a shape or one of its copies (``prepare_data.py --copies``), each as likely as
            the other; of ``train`` and its parts.
        teacher: Name of a teacher cached for this set, whose rows are loaded, or None.

    Attributes:
        rows: (S,) the rows of the stored split.
        labelled: (S,) bool, whose label (with parts: whose parts) is known.
        labels: (S,) int64, the class of each shape, -1 where it is not known; with parts always known.

    Raises:
        ValueError: What is asked for is not in the prepared set, the teacher has seen other labels of it than
            this dataset knows, or it says other classes.
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
        part_views: bool = False,
        depths: bool = False,
        label_fraction: float = 1.0,
        fraction_seed: int = 0,
        unlabelled: str | None = None,
        without_fold: Sequence[int] | None = None,
        colors: bool = False,
        copies: bool = False,
    ) -> None:
        self.prepared = PreparedSet(data_root)
        self.split_name = split
        self._stored_split = "train" if split in PARTS_OF_TRAIN else split
        self._data = self.prepared.split(self._stored_split)
        if unlabelled not in UNLABELLED:
            raise ValueError(f"unlabelled is {unlabelled!r}; choose None, 'rest' or 'all'")
        truth = np.asarray(self._data.labels)
        known = labelled_rows(truth, split, label_fraction, fraction_seed, without_fold)
        self.rows = known if unlabelled is None else rows_of_split(truth, split)
        if unlabelled == "all":
            known = known[:0]
        self.labelled = np.isin(self.rows, known)
        self.num_points = num_points
        self.with_normals, self.with_colors, self.with_parts = normals, colors, parts
        self.with_visibility = visibility
        self.with_part_views, self.with_depths = part_views, depths
        self.labels = truth[self.rows].astype(np.int64)
        if not parts:  # with parts the class is no label but the category, which is known in testing too
            self.labels[~self.labelled] = -1
        self.views = self.prepared.num_views if views == "all" else int(views)
        self.teacher = None
        if teacher is not None:
            cache = TeacherCache(data_root, teacher)
            self.labels_seen = cache.meta.get("labels")
            self._check_classes(cache)
            if self._stored_split == "train" and split != "held_out":
                check_labels_seen(self.labels_seen, cache.folder, self.prepared.digest, known)
            self.teacher = cache.split(self._stored_split)
            there = self.teacher.num_points
            if there is not None and there < num_points:
                raise ValueError(
                    f"{cache.folder} covers {there} points per shape, but num_points is {num_points}: "
                    f"write it again with --point-count {num_points}, or give the datasets num_points={there}"
                )
        self._check(data_root)
        self._copies: PreparedShapes | None = None
        if copies:
            if not len(self.prepared.copy_of) or self._stored_split != "train":
                raise ValueError(
                    f"{data_root} has no copies of {split}: they are made from training shapes by "
                    "pointmcd prepare --copies N"
                )
            kinds = normals, visibility, parts, views, teacher, part_views, depths
            self._copies = PreparedShapes(data_root, COPIES, num_points, *kinds, colors=colors)
            self._first_copy = np.searchsorted(self.prepared.copy_of, np.arange(len(truth) + 1))

    def _check_classes(self, cache: TeacherCache) -> None:
        said = cache.meta.get("class_names")  # older ones do not say
        if said is not None and said != self.prepared.class_names:
            raise ValueError(
                f"the teacher {cache.folder} says the classes {_shortened(said)}, but the set has "
                f"{_shortened(self.prepared.class_names)}: it is one of another set (--further), for "
                f"JoinedShapes; cache a teacher of this set: pointmcd cache-teacher --data {cache.data_root}"
            )

    def _check(self, root: str) -> None:
        stored = self.prepared.num_points
        if not 1 <= self.num_points <= stored:
            raise ValueError(
                f"num_points is {self.num_points}, but {root} holds {stored} points per shape: give each "
                f"dataset num_points from 1 to {stored}, or more points by pointmcd prepare --points"
            )
        lacking = [
            name
            for name, wanted, there in (
                ("normals", self.with_normals, self._data.normals is not None),
                ("colors", self.with_colors, self._data.colors is not None),
                ("visibility", self.with_visibility, self._data.visibility is not None),
                ("parts", self.with_parts, self._data.parts is not None),
                ("views", self.views > 0, self.prepared.has_views),
                ("part_views", self.with_part_views, self.prepared.has_part_views),
                ("depths", self.with_depths, self.prepared.has_depths),
            )
            if wanted and not there
        ]
        if lacking:
            options = [PREPARED_BY[name] for name in lacking if name in PREPARED_BY]
            mend = f"prepare it again with {' and '.join(options)}" if options else "its source has none"
            raise ValueError(f"{root} was prepared without {', '.join(lacking)}; {mend}")
        if (self.with_part_views or self.with_depths) and not self.views:
            raise ValueError("part_views and depths need views, but views is 0")
        if self.views > self.prepared.num_views:
            raise ValueError(
                f"views is {self.views}, but {root} holds {self.prepared.num_views} views per shape"
            )

    @property
    def metainfo(self) -> dict[str, Any]:
        """Names of classes and parts, which MMEngine stores in checkpoints and hands to metrics."""
        return {
            "classes": self.prepared.class_names,
            "num_views": self.prepared.num_views,
            "parts": self.prepared.part_names,
            "class_parts": self.prepared.class_parts,
        }

    @property
    def about(self) -> dict[str, str]:
        """``data_root``, ``data_digest`` and ``split``, by which reports tell what they are of."""
        prepared = self.prepared
        return {"data_root": str(prepared.root), "data_digest": prepared.digest, "split": self.split_name}

    @property
    def taught_by(self) -> list[str]:
        """What tells the cache of the teacher from others; nothing without a teacher."""
        return [] if self.teacher is None else [self.teacher.cache.content]

    @property
    def names(self) -> list[str]:
        """S names, of the shapes."""
        return [self._data.names[row] for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        """Return a batch of one."""
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Return the batch of these shapes; the loader's ``collate_fn`` has nothing left to do."""
        index = np.asarray(indices, np.int64)
        batch = self._draw(self.rows[index])
        batch["index"] = torch.from_numpy(index)
        batch["label"] = torch.from_numpy(self.labels[index])
        if self.with_parts:
            batch["parts"][~torch.from_numpy(self.labelled[index])] = -1
        return batch

    def _draw(self, rows: np.ndarray) -> Batch:
        """Return the shapes of the stored split, or copies of them."""
        if self._copies is None:
            return self._read(rows)
        first, last = self._first_copy[rows], self._first_copy[rows + 1]
        drawn = (torch.rand(len(rows)).numpy() * (last - first + 1)).astype(np.int64)
        own, copied = np.flatnonzero(drawn == 0), np.flatnonzero(drawn)
        parts = [self._read(rows[own])] if len(own) else []
        if len(copied):
            parts.append(self._copies._read((first + drawn - 1)[copied]))
        return joined(parts, torch.from_numpy(np.argsort(np.concatenate([own, copied]))))

    def _read(self, rows: np.ndarray) -> Batch:
        """Return what is stored of rows (B,) of the split."""
        count = self.num_points
        batch: Batch = {"points": _tensor(self._data.points, rows, count)}
        if self.with_normals:
            batch["normals"] = _tensor(self._data.normals, rows, count)
        if self.with_colors:
            batch["colors"] = _tensor(self._data.colors, rows, count).float() / 255
        if self.with_visibility:
            batch["visibility"] = _tensor(self._data.visibility, rows, count).view(torch.int32)
        if self.with_parts:
            batch["parts"] = _tensor(self._data.parts, rows, count).long()
        if self.views:
            chosen = self._choose_views(len(rows))
            batch["view_index"] = chosen
            batch["views"] = _images(self._data.views, rows, chosen).permute(0, 1, 4, 2, 3)
            if self.with_part_views:
                batch["part_views"] = _images(self._data.part_views, rows, chosen).long()
            if self.with_depths:
                batch["depths"] = _images(self._data.depths, rows, chosen)
        if self.teacher is not None:
            batch["teacher"] = self.teacher.rows(rows, count)
        return batch

    def _choose_views(self, count: int) -> torch.Tensor:
        """Return (count, v) int64 views of that many shapes."""
        total = self.prepared.num_views
        if self.views == total:
            return torch.arange(total).repeat(count, 1)
        return torch.rand(count, total).argsort(1)[:, : self.views].sort(1).values


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(map(str, names[:5])) + (" ..." if len(names) > 5 else "")


def joined(parts: Sequence[Any], order: torch.Tensor) -> Batch:
    """Put batches, and what teachers say of them, behind one another, and then into an order (B,)."""
    whole = {
        name: joined([part[name] for part in parts], order)
        if isinstance(value, dict)
        else torch.cat([part[name] for part in parts])[order]
        for name, value in parts[0].items()
    }
    return cast(Batch, whole)


def _tensor(array: Rows | None, rows: np.ndarray, count: int) -> torch.Tensor:
    assert array is not None  # the dataset was refused where the set has none
    return torch.from_numpy(np.stack([array[row, :count] for row in rows]))


def _images(images: Encoded, rows: np.ndarray, chosen: torch.Tensor) -> torch.Tensor:
    """Return the images ``chosen`` (B, v) of each row: (B, v, H, W) or (B, v, H, W, 3)."""
    read = [
        [images.read(int(row), view) for view in views]
        for row, views in zip(rows, chosen.tolist(), strict=True)
    ]
    return torch.from_numpy(np.array(read))


@FUNCTIONS.register_module()
def whole_batch(batch: Batch) -> Batch:
    """Return the ``collate_fn`` of ``PreparedShapes``: a batch is already one."""
    return batch
