"""What a teacher said of a prepared set, written down once: ``<root>/teachers/<name>/``.

    meta.json                     digests of the data and of the teacher's checkpoint, accuracies, channels
    <split>_view_descriptors.npy  (S, V, D) float16
    <split>_descriptor.npy        (S, D) float16
    <split>_logits.npy            (S, K) float32       | where the teacher classifies
    <split>_view_logits.npy       (S, V, K) float16    |

Memory-mapped, without pickle. The folder is written under a temporary name and renamed when it is complete.
"""

import json
import os
import shutil
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pointmcd.batch import TeacherRows
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.files import write_json

FORMAT_VERSION = 1
META = "meta.json"
DTYPES = {
    "view_descriptors": np.float16,
    "descriptor": np.float16,
    "logits": np.float32,
    "view_logits": np.float16,
}


class TeacherSplit:
    """A teacher's rows of one split, memory-mapped when first used; pickling passes the path alone."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder = folder
        self.name = split

    def __reduce__(self) -> tuple:
        return type(self), (self.folder, self.name)

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that are there, by the names of ``TeacherRows``."""
        paths = {name: self.folder / f"{self.name}_{name}.npy" for name in DTYPES}
        return {name: np.load(path, mmap_mode="r") for name, path in paths.items() if path.is_file()}

    def rows(self, rows: np.ndarray) -> TeacherRows:
        """The given rows (B,) as float32 tensors."""
        return {
            name: torch.from_numpy(np.stack([array[row] for row in rows]).astype(np.float32))
            for name, array in self.arrays.items()
        }


class TeacherCache:
    """A teacher's cache, opened for reading.

    Args:
        data_root: Folder of the prepared set.
        name: Name of the teacher.

    Attributes:
        meta: What ``meta.json`` says: ``channels`` (D), ``accuracy`` in percent by split,
            ``checkpoint_sha256`` ...

    Raises:
        FileNotFoundError: There is no such cache, or it was not finished.
        ValueError: It is of other data than those of the set, or of another format version.
    """

    def __init__(self, data_root: str | os.PathLike[str], name: str) -> None:
        self.folder = Path(data_root) / "teachers" / name
        mend = (
            f"train a teacher, such as configs/teacher_{name}_*.py, and write its cache:\n"
            "python tools/train.py TEACHER_CONFIG\n"
            f"python tools/cache_teacher.py TEACHER_CONFIG CHECKPOINT --name {name} "
            f"--cfg-options data_root={data_root}"
        )
        if not (self.folder / META).is_file():
            raise FileNotFoundError(f"there is no finished teacher cache {self.folder}; {mend}")
        self.meta: dict[str, Any] = json.loads((self.folder / META).read_text("utf-8"))
        if self.meta["format_version"] != FORMAT_VERSION:
            raise ValueError(
                f"{self.folder} has format {self.meta['format_version']}, this version of pointmcd reads "
                f"{FORMAT_VERSION}; {mend}"
            )
        digest = PreparedSet(data_root).digest
        if self.meta["data_digest"] != digest:
            raise ValueError(
                f"the teacher cache {self.folder} is of data with digest {self.meta['data_digest'][:16]}, "
                f"but {data_root} has {digest[:16]}; {mend}"
            )

    def split(self, name: str) -> TeacherSplit:
        """The rows of one split, in the order of the prepared set."""
        if name not in self.meta["splits"]:
            raise ValueError(f"{self.folder} has no split {name!r}; it has {', '.join(self.meta['splits'])}")
        return TeacherSplit(self.folder, name)


class TeacherCacheWriter:
    """Writes a cache split by split, in a bounded amount of memory; ``finish`` makes it visible.

    Args:
        data_root: Folder of the prepared set.
        name: Name of the teacher; a finished cache of that name is replaced by ``finish``.
    """

    def __init__(self, data_root: str | os.PathLike[str], name: str) -> None:
        self.prepared = PreparedSet(data_root)
        self.folder = self.prepared.root / "teachers" / name
        self._temporary = self.folder.with_name(f".{name}.tmp")
        self._channels = 0
        self._splits: list[str] = []
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir(parents=True)

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
            rows = {name: tensor.numpy(force=True).astype(DTYPES[name]) for name, tensor in batch.items()}
            if not arrays:
                self._channels = rows["view_descriptors"].shape[-1]
                arrays = {
                    name: np.lib.format.open_memmap(
                        self._temporary / f"{split}_{name}.npy", "w+", array.dtype, (count, *array.shape[1:])
                    )
                    for name, array in rows.items()
                }
            end = written + len(rows["view_descriptors"])
            for name, array in rows.items():
                if not np.isfinite(array).all():
                    raise ValueError(
                        f"the teacher's {name} of {split}, rows {written} to {end}, is not finite"
                    )
                arrays[name][written:end] = array
            written = end
        if written != count:
            raise ValueError(f"the teacher said {written} rows of {split}, which has {count} shapes")
        self._splits.append(split)
        return arrays

    def finish(self, meta: dict[str, Any]) -> Path:
        """Write ``meta.json`` and put the cache in place.

        Args:
            meta: What is to be known of the teacher: ``accuracy``, ``checkpoint_sha256``, settings.

        Returns:
            The folder of the cache.
        """
        own = {
            "format_version": FORMAT_VERSION,
            "data_digest": self.prepared.digest,
            "channels": self._channels,
            "splits": self._splits,
        }
        write_json(self._temporary / META, own | meta)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._temporary.rename(self.folder)
        return self.folder
