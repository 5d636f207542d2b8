"""Arrays computed once of a prepared set, beside it in ``<root>/<kind>/<name>/``.

    meta.json    the digest of the data, the size and SHA-256 of every file, and what else is to be known
    *.npy        memory-mapped, without pickle

A cache is written under a temporary name, by one process at a time, and put in place when it is complete.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.files import write_json
from pointmcd.folders import (
    DamagedError,
    Lock,
    check_hashes,
    check_name,
    check_sizes,
    create_array,
    describe_files,
    digest_of,
    open_array,
    parse_object,
    read_file,
    replace_folder,
)

FORMAT_VERSION = 1
META = "meta.json"
OWN_DIGEST = "meta_sha256"


class ArrayCache:
    """A cache, opened for reading.

    Args:
        data_root: Folder of the prepared set.
        kind: ``teachers``, or another folder of caches.
        name: Name of the cache.
        remedy: How to write it, the end of every message.

    Attributes:
        meta: What ``meta.json`` says.
        prepared: The set.

    Raises:
        FileNotFoundError: There is no such cache, or it was not finished.
        ValueError: It is damaged, of other data than those of the set, or of another format version.
    """

    def __init__(self, data_root: str | os.PathLike[str], kind: str, name: str, remedy: str) -> None:
        self.folder = Path(data_root) / kind / check_name(name, "the name of the cache")
        self.remedy = remedy
        self._text = self._meta_text()
        self.identity = hashlib.sha256(self._text).hexdigest()
        """Tells this cache from another of the same name."""
        self.meta: dict[str, Any] = self._parse(self._text)
        self.prepared = PreparedSet(data_root)
        if self.meta["data_digest"] != self.prepared.digest:
            raise ValueError(
                f"the cache {self.folder} belongs to data with digest {self.meta['data_digest'][:16]}, "
                f"but {data_root} has {self.prepared.digest[:16]}; {remedy}"
            )
        self._checked(lambda: check_sizes(self.folder, self._files))

    @property
    def _files(self) -> Mapping[str, Any]:
        return self.meta.get("files") or {}  # not recorded by earlier versions

    @property
    def content(self) -> str:
        """Tells arrays from others, whatever else is recorded of them; without their hashes, the identity."""
        return digest_of(dict(self._files)) if self._files else self.identity

    def has(self, file: str) -> bool:
        """Return whether the cache holds an array."""
        return file in self._files if self._files else (self.folder / file).is_file()

    def array(self, file: str, dtype: str, shape: tuple[int | None, ...]) -> np.ndarray:
        """Map an array, checked (see `open_array`)."""
        return self._checked(lambda: open_array(self.folder / file, dtype, shape))

    def verify(self) -> bool:
        """Read all files and compare their hashes.

        Returns:
            Whether there were hashes to compare; earlier versions recorded none.

        Raises:
            ValueError: A file differs; the message names it.
        """
        self._checked(lambda: check_hashes(self.folder, self._files))
        return bool(self._files)

    def check_unchanged(self) -> None:
        """Refuse to go on where another cache of that name took this one's place."""
        if self._meta_text() != self._text:
            raise ValueError(f"{self.folder} was replaced by another cache meanwhile; start again")

    def _checked(self, action: Any) -> Any:
        try:
            result = action()
        except DamagedError as error:
            self.check_unchanged()
            raise ValueError(f"{error}; {self.remedy}") from None
        self.check_unchanged()
        return result

    def _meta_text(self) -> bytes:
        text = read_file(self.folder / META)
        if text is None:
            raise FileNotFoundError(f"there is no finished cache {self.folder}; {self.remedy}")
        return text

    def _parse(self, text: bytes) -> dict[str, Any]:
        path = self.folder / META
        try:
            meta = parse_object(text, path, FORMAT_VERSION)
        except DamagedError as error:
            raise ValueError(f"{error}; {self.remedy}") from None
        stated = meta.get(OWN_DIGEST)  # not recorded by earlier versions
        if stated is not None and stated != digest_of(meta, (OWN_DIGEST,)):
            raise ValueError(f"{path} was changed; {self.remedy}")
        for key, kind in (("data_digest", str), ("splits", list)):
            if not isinstance(meta.get(key), kind):
                raise ValueError(f"{path} is damaged: its {key} is {meta.get(key)!r}; {self.remedy}")
        return meta


class ArrayCacheWriter:
    """Writes a cache; ``finish`` puts it in place of an earlier one of that name, which stays until then.

    As a context manager it leaves nothing behind where it does not come to ``finish``. A process that was
    killed leaves its files to the next writer of that name, who removes them.

    Args:
        data_root: Folder of the prepared set.
        kind: As `ArrayCache`.
        name: As `ArrayCache`.

    Raises:
        BusyError: Another process is writing a cache of that name.
    """

    def __init__(self, data_root: str | os.PathLike[str], kind: str, name: str) -> None:
        self.prepared = PreparedSet(data_root)
        self.folder = self.prepared.root / kind / check_name(name, "the name of the cache")
        self._lock = Lock(self.folder.with_name(f".{name}.lock"), self.folder)
        self._tidy_up()
        self._temporary = self.folder.with_name(f".{name}.{os.getpid()}.tmp")
        self._temporary.mkdir(parents=True)

    def _tidy_up(self) -> None:
        """Remove what writers that were killed have left, and bring back what they had moved aside."""
        name = self.folder.name
        aside = self.folder.with_name(f".{name}.old")
        if aside.is_dir() and not self.folder.exists():
            aside.rename(self.folder)
        for path in self.folder.parent.iterdir():
            if path == aside or re.fullmatch(rf"\.{re.escape(name)}\.(\d+\.)?tmp", path.name):
                shutil.rmtree(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._lock.release()

    def create(self, file: str, dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
        """Create an array to write to (see `create_array`)."""
        return create_array(self._temporary / file, dtype, shape)

    def finish(self, meta: Mapping[str, Any]) -> Path:
        """Write ``meta.json`` and put the cache in place.

        Args:
            meta: What is to be known of it; needs ``splits``.

        Returns:
            The folder of the cache.
        """
        own = {
            "format_version": FORMAT_VERSION,
            "data_digest": self.prepared.digest,
            **meta,
            "files": describe_files(self._temporary, sorted(self._temporary.iterdir())),
        }
        write_json(self._temporary / META, own | {OWN_DIGEST: digest_of(own)})
        replace_folder(self._temporary, self.folder)
        self._lock.release()
        return self.folder
