"""A teacher whose descriptors were computed once."""

import json
from pathlib import Path
from typing import Any

from torch import nn

from pointmcd.batch import TeacherRows
from pointmcd.registry import MODELS


@MODELS.register_module()
class CachedTeacher(nn.Module):
    """Say what ``tools/cache_teacher.py`` wrote down; the dataset puts the rows into the batch.

    Args:
        data_root: Folder of the prepared set; filled in from the config's top level where it is None there.
        name: Name of the teacher, whose cache is ``<data_root>/teachers/<name>``.

    Attributes:
        meta: What ``meta.json`` says of the teacher: ``channels``, ``accuracy`` of each split, digests ...

    Raises:
        FileNotFoundError: There is no finished cache.
        ValueError: The cache is of other data than that of the prepared set it lies in.
    """

    def __init__(self, data_root: str, name: str) -> None:
        super().__init__()
        folder = Path(data_root) / "teachers" / name
        if not (folder / "meta.json").is_file():
            raise FileNotFoundError(
                f"{folder} is no finished teacher cache; train a teacher, then run\n"
                "python tools/cache_teacher.py TEACHER_CONFIG CHECKPOINT "
                f"--cfg-options data_root={folder.parent.parent}"
            )
        self.meta = json.loads((folder / "meta.json").read_text())
        manifest = json.loads((folder.parent.parent / "manifest.json").read_text())
        if self.meta["data_digest"] != manifest["digest"]:
            raise ValueError(
                f"the teacher cache {folder} is of data with digest {self.meta['data_digest']}, but "
                f"{folder.parent.parent} has {manifest['digest']}; run tools/cache_teacher.py again"
            )

    @property
    def accuracy(self) -> dict[str, dict[str, float]]:
        """Accuracies in percent of each split, by name."""
        return self.meta["accuracy"]

    @property
    def out_channels(self) -> int:
        """D, width of the descriptors."""
        return self.meta["channels"]

    def describe(self, batch: dict[str, Any]) -> TeacherRows:
        """The rows of this batch.

        Raises:
            ValueError: The dataset gave none.
        """
        if "teacher" not in batch:
            raise ValueError("the batch has no teacher rows: give the dataset the cache of the teacher")
        return batch["teacher"]
