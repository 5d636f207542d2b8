"""What a teacher said of a prepared set, written down once: ``<root>/teachers/<name>/``.

    meta.json                     digests of the data and of the teacher's checkpoint, accuracies, channels,
                                  the names of the classes that logits are of
    <split>_view_descriptors.npy  (S, V, D) float16    | where the teacher looks at views; D is 0 where it
    <split>_descriptor.npy        (S, D) float16       | does not
    <split>_logits.npy            (S, K) float32       | where the teacher classifies
    <split>_view_logits.npy       (S, V, K) float16    |
    <split>_has_logits.npy        (S,) bool            | where it has none for some shapes
    <split>_point_descriptors.npy (S, N, E) float16    | if asked for: what the views that see a point say of
    <split>_point_logits.npy      (S, N, P) float16    | it, zeros where none does; of the first N points

How it is written, hashed and checked: ``array_cache.py``.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from pointmcd.batch import TeacherRows
from pointmcd.datasets.array_cache import ArrayCache, ArrayCacheWriter

KIND = "teachers"
DTYPES = {
    "view_descriptors": "float16",
    "descriptor": "float16",
    "logits": "float32",
    "view_logits": "float16",
    "has_logits": "bool",
    "point_descriptors": "float16",
    "point_logits": "float16",
}
OF_POINTS = "point_"
NAMES_SHOWN = 12


class TeacherSplit:
    """A teacher's rows of one split, memory-mapped; pickling passes the names alone.

    Attributes:
        arrays: The arrays that are there, by the names of ``TeacherRows``.
    """

    def __init__(self, cache: "TeacherCache", name: str) -> None:
        self.cache, self.name = cache, name
        shapes, views, width = len(cache.prepared.split(name)), cache.prepared.num_views, cache.channels
        sizes = {
            "view_descriptors": (shapes, views, width),
            "descriptor": (shapes, width),
            "logits": (shapes, None),
            "view_logits": (shapes, views, None),
            "has_logits": (shapes,),
            "point_descriptors": (shapes, None, None),
            "point_logits": (shapes, None, None),
        }
        files = {key: f"{name}_{key}.npy" for key in DTYPES}
        self.arrays: dict[str, np.ndarray] = {
            key: cache.array(file, DTYPES[key], sizes[key]) for key, file in files.items() if cache.has(file)
        }
        if not self.arrays:
            raise ValueError(f"{cache.folder} has nothing for {name}; {cache.remedy}")

    def __reduce__(self) -> tuple:
        return _reopened, (self.cache.data_root, self.cache.name, self.cache.identity, self.name)

    @property
    def num_points(self) -> int | None:
        """How many points of each shape it speaks of, one by one; None: of none."""
        counts = [array.shape[1] for name, array in self.arrays.items() if name.startswith(OF_POINTS)]
        return min(counts, default=None)

    def rows(self, rows: np.ndarray, num_points: int | None = None) -> TeacherRows:
        """Return the given rows (B,) as float32 tensors, of the first ``num_points`` points of each shape."""
        read = {
            name: torch.from_numpy(
                np.stack(
                    [array[row, :num_points] if name.startswith(OF_POINTS) else array[row] for row in rows]
                ).astype(np.float32)
            )
            for name, array in self.arrays.items()
        }
        return cast(TeacherRows, read)  # DTYPES has its names and no others


def _reopened(data_root: Any, name: str, identity: str, split: str) -> TeacherSplit:
    """Return what another process, such as a loader's worker, opens: the same cache or none."""
    cache = TeacherCache(data_root, name)
    if cache.identity != identity:
        raise ValueError(f"{cache.folder} was replaced by another cache meanwhile; start again")
    return cache.split(split)


class TeacherCache(ArrayCache):
    """A teacher's cache, opened for reading: all of its arrays are mapped at once.

    Args:
        data_root: Folder of the prepared set.
        name: Name of the teacher.

    Attributes:
        meta: What ``meta.json`` says: ``channels`` (D), ``accuracy`` in percent by split,
            ``checkpoint_sha256`` ...

    Raises:
        FileNotFoundError: There is no such cache, or it was not finished.
        ValueError: It is damaged, of other data than those of the set, or of another format version.
    """

    def __init__(self, data_root: str | os.PathLike[str], name: str) -> None:
        self.data_root, self.name = data_root, name
        there = sorted(path.parent.name for path in Path(data_root, KIND).glob("*/meta.json"))
        others = [one for one in there if one != name]
        remedy = (
            (f"there are {', '.join(others[:NAMES_SHOWN])}. Write it:\n" if others else "write it:\n")
            + f"pointmcd cache-teacher --frozen mobilenetv2_100 --data {data_root} --name {name}\n"
            "(and --point-dim 64 where the config has a PointDistillationHead)\n"
            f"or, for texts, pointmcd cache-teacher --image-text MODEL --data {data_root} --name {name}\n"
            "or train a teacher first:\n"
            "pointmcd train TEACHER_CONFIG\n"
            f"pointmcd cache-teacher TEACHER_CONFIG CHECKPOINT --name {name} "
            f"--cfg-options data_root={data_root}"
        )
        super().__init__(data_root, KIND, name, remedy)
        self.channels = self.meta.get("channels")
        if not isinstance(self.channels, int):
            raise ValueError(
                f"{self.folder}/meta.json is damaged: its channels are {self.channels}; {remedy}"
            )
        if not _are_figures(self.meta.get("accuracy")):
            raise ValueError(
                f"{self.folder}/meta.json is damaged: its accuracy holds no figures by split; {remedy}"
            )
        self._splits = {split: TeacherSplit(self, split) for split in self.meta["splits"]}

    def split(self, name: str) -> TeacherSplit:
        """Return the rows of one split, in the order of the prepared set."""
        if name not in self._splits:
            raise ValueError(f"{self.folder} has no split {name!r}; it has {', '.join(self._splits)}")
        return self._splits[name]


def _are_figures(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(figures, dict) and all(type(figure) in (int, float) for figure in figures.values())
        for figures in value.values()
    )


class TeacherCacheWriter(ArrayCacheWriter):
    """Writes a cache split by split, in a bounded amount of memory; ``finish`` makes it visible.

    Args:
        data_root: Folder of the prepared set.
        name: Name of the teacher; a finished cache of that name is replaced by ``finish``.

    Raises:
        BusyError: Another process is writing a cache of that name.
    """

    def __init__(self, data_root: str | os.PathLike[str], name: str) -> None:
        super().__init__(data_root, KIND, name)
        self._channels = self._point_channels = 0
        self._splits: list[str] = []
        self._says_classes = False

    def write_split(self, split: str, batches: Iterable[TeacherRows]) -> dict[str, np.ndarray]:
        """Write what the teacher says of all shapes of a split, in their order.

        Args:
            split: A split of the prepared set.
            batches: Rows of consecutive shapes.

        Returns:
            The arrays as written.

        Raises:
            ValueError: The rows are not as many as the shapes, or are not finite in the type they are stored
                in.
        """
        count, written = len(self.prepared.split(split)), 0
        arrays: dict[str, np.ndarray] = {}
        for batch in batches:
            rows = {
                name: tensor.numpy(force=True).astype(DTYPES[name])
                for name, tensor in cast(dict[str, Tensor], batch).items()
            }
            if not arrays:
                described = rows.get("view_descriptors")
                self._channels = 0 if described is None else described.shape[-1]
                of_points = rows.get("point_descriptors")
                self._point_channels = 0 if of_points is None else of_points.shape[-1]
                arrays = {
                    name: self.create(f"{split}_{name}.npy", array.dtype, (count, *array.shape[1:]))
                    for name, array in rows.items()
                }
            end = written + len(next(iter(rows.values())))
            for name, array in rows.items():
                if not np.isfinite(array).all():
                    raise ValueError(
                        f"the teacher's {name} of {split}, rows {written} to {end}, is not finite"
                    )
                arrays[name][written:end] = array
            written = end
        if written != count:
            raise ValueError(f"the teacher gave {written} rows for {split}, which has {count} shapes")
        self._splits.append(split)
        self._says_classes |= "logits" in arrays
        return arrays

    def finish(self, meta: Mapping[str, Any]) -> Path:
        """Do as `ArrayCacheWriter.finish`.

        Args:
            meta: What is to be known of the teacher: ``accuracy``, ``checkpoint_sha256``, settings; and
                ``class_names`` where its logits are not of the classes of the set.
        """
        return super().finish(
            {
                **({"class_names": self.prepared.class_names} if self._says_classes else {}),
                "channels": self._channels,
                "point_channels": self._point_channels,
                "splits": self._splits,
                **meta,
            }
        )
