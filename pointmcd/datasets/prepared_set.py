"""The prepared format: a folder that holds everything a training reads, memory-mapped and without pickle.

    <root>/manifest.json             what the set is and how it was made; written last
    <root>/<split>/names.json        S names
                   labels.npy        (S,) int64
                   points.npy        (S, P, 3) float32, unit ball, z up, in farthest-point order
                   normals.npy       (S, P, 3) float32                 | where the source has them
                   colors.npy        (S, P, 3) uint8                   |
                   parts.npy         (S, P) uint16                     |
                   visibility.npy    (S, P) uint32, bit v: seen by view v
                   views.bin         S * V encoded images, one after the other
                   view_offsets.npy  (S * V + 1,) int64 offsets into views.bin
                   part_views.bin, part_view_offsets.npy  the part of each pixel    | where they were
                   depths.bin, depth_offsets.npy          the depth of each pixel   | asked for

The digest is a SHA-256 over the manifest, which itself holds the SHA-256 of every file. Opening a set checks
the manifest's digest, the files' sizes and the arrays' headers (of shards, these are checked when an array is
first read); ``verify`` reads the files as well.

A large set may be made of shards, which lie in ``<root>/shards/NNNN``, each a set of this format; the
manifest of the whole has their digests (``preparation/shards.py``). It is read as a set in one piece is.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pointmcd.datasets.manifest import (
    FORMAT_VERSION,
    MANIFEST,
    SHARDED_VERSION,
    SHARDS,
    PreparedSetError,
    check_values,
    differing_keys,
    how_to_make_shard,
    how_to_merge,
    how_to_prepare,
    manifest_digest,
    shard_name,
)
from pointmcd.datasets.prepared_split import PreparedSplit
from pointmcd.folders import (
    DamagedError,
    allow_open_files,
    check_hashes,
    check_sizes,
    digest_of,
    parse_object,
    read_file,
)


def _reopened(root: Path, digest: str) -> "PreparedSet":
    """Return what another process, such as a loader's worker, opens: the same set or none."""
    prepared = PreparedSet(root)
    if prepared.digest != digest:
        raise PreparedSetError(f"{root} was replaced by another set meanwhile; start again")
    return prepared


class PreparedSet:
    """A prepared set, opened for reading.

    All of its arrays are mapped at once. Where the folder is replaced afterwards, an opened set stays what it
    was, and other processes that would open it stop. Of a set of shards, each array of a shard is mapped when
    a row of it is first read, and reading stops where the shard was replaced by another before.

    Args:
        root: The folder, such as ``data/modelnet40``.
        remedy: What makes it again, the end of every message; None for the usual.
        at_once: Map all arrays; else each when it is first read.

    Attributes:
        shards: The sets that it is made of, in the order of their rows; none where it is in one piece.

    Raises:
        PreparedSetError: It is missing, unfinished, damaged or of another format version, or a shard is.
    """

    def __init__(self, root: str | os.PathLike[str], remedy: str | None = None, at_once: bool = True) -> None:
        self.root, self._remedy, self._at_once = Path(root), remedy, at_once
        self.shards: list[PreparedSet] = []
        self.manifest: dict[str, Any] = {}
        self._text = self._manifest_text()
        self.manifest = self._parse(self._text)
        try:
            check_values(self.manifest, self.root / MANIFEST)
            self.shards = self._open_shards()
            check_sizes(self.root, self.manifest["files"])
            splits, is_shard = self.manifest["splits"], "shard" in self.manifest
            if not isinstance(splits, dict) or not (splits or is_shard):  # a shard may have lost all shapes
                raise DamagedError(f"{self.root / MANIFEST} is damaged: it names no splits")
            self._splits = {name: PreparedSplit(self, name) for name in self.manifest["splits"]}
            if at_once and not self.shards:
                for split in self._splits.values():
                    split.map_all()
        except DamagedError as error:
            self.check_unchanged()
            raise PreparedSetError(f"{error}.\n{self.remedy}") from None
        except PreparedSetError:
            raise  # a shard's own message, or an array's
        except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
            self.check_unchanged()
            raise PreparedSetError(
                f"{self.root / MANIFEST} is damaged ({type(error).__name__}: {error}).\n{self.remedy}"
            ) from None
        self.check_unchanged()

    def _open_shards(self) -> list["PreparedSet"]:
        """Open the shards that the manifest names, each the one that was merged."""
        listed = self.manifest.get("shards") or []
        if listed:
            allow_open_files()
        shards = []
        for number, entry in enumerate(listed, 1):
            folder = self.root / SHARDS / shard_name(number)
            again = how_to_make_shard(self.manifest, number, len(listed), self.root)
            shard = PreparedSet(folder, f"Make that shard again: {again}", at_once=False)
            if shard.digest != entry["digest"] or differing_keys(shard.manifest, self.manifest):
                raise PreparedSetError(
                    f"{folder} was made again after the shards were merged, and has changed.\n"
                    f"If that is right, merge the shards again: {how_to_merge(self.root)}\n"
                    "Caches of teachers belong to the old shards and must be written again."
                )
            shards.append(shard)
        return shards

    def _manifest_text(self) -> bytes:
        text = read_file(self.root / MANIFEST)
        if text is not None:
            return text
        missing = f"{self.root} holds no prepared shapes (there is no {MANIFEST}).\n"
        if self._remedy is None and not (self.root / SHARDS).is_dir():
            raise PreparedSetError(missing + how_to_prepare(self.root))
        raise PreparedSetError(missing + self.remedy)

    def _parse(self, text: bytes) -> dict[str, Any]:
        path = self.root / MANIFEST
        try:
            manifest = parse_object(text, path, FORMAT_VERSION, SHARDED_VERSION)
        except DamagedError as error:
            raise PreparedSetError(f"{error}.\n{self.remedy}") from None
        whole = manifest.get("manifest_sha256")  # of sets before this was recorded, nothing is known
        if whole == digest_of(manifest, ("manifest_sha256",)):
            return manifest
        stated = str(manifest.get("digest"))
        if (actual := manifest_digest(manifest)) != stated:
            raise PreparedSetError(
                f"{path} was changed: its digest is {actual[:16]}, it states {stated[:16]}.\n{self.remedy}"
            )
        if whole is not None:
            raise PreparedSetError(
                f"{path} was changed in what it says about how the set was made.\n{self.remedy}"
            )
        return manifest

    def check_unchanged(self) -> None:
        """Refuse to go on where the folder holds another set by now.

        Raises:
            PreparedSetError: It does, or it is gone.
        """
        text = self._manifest_text()
        if text != self._text and self._parse(text)["digest"] != self.digest:
            raise PreparedSetError(f"{self.root} was replaced by another set meanwhile; start again")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Refuse a file that is damaged, or of another set that took this one's place.

        Raises:
            PreparedSetError: It is.
        """
        try:
            yield
        except DamagedError as error:
            self.check_unchanged()
            raise PreparedSetError(f"{error}.\n{self.remedy}") from None
        if not self._at_once:  # else once, when all are mapped
            self.check_unchanged()

    @property
    def remedy(self) -> str:
        """The command that makes the set again."""
        if self._remedy is not None:
            return self._remedy
        if (self.root / SHARDS).is_dir():
            return f"Merge its shards: {how_to_merge(self.root)}"
        if self.root.parent.name == SHARDS:
            root, shard = self.root.parent.parent, self.manifest.get("shard") or {}
            number, count = shard.get("number", self.root.name), shard.get("count", "COUNT")
            return f"Make that shard again: {how_to_make_shard(self.manifest, number, count, root)}"
        return f"Prepare it again: pointmcd prepare SOURCE --out {self.root} --overwrite"

    def __reduce__(self) -> tuple:
        return _reopened, (self.root, self.digest)

    @property
    def digest(self) -> str:
        """SHA-256 of everything in the set, in hexadecimal."""
        return self.manifest["digest"]

    @property
    def class_names(self) -> list[str]:
        return self.manifest["class_names"]

    @property
    def part_names(self) -> list[str] | None:
        return self.manifest["part_names"]

    @property
    def class_parts(self) -> list[list[int]] | None:
        """The parts that each class may have, as indices into ``part_names``."""
        return self.manifest.get("class_parts")

    @property
    def copy_of(self) -> np.ndarray:
        """(C,) int64: of each shape of the split ``copies`` the row of ``train`` that it is a copy of; none
        where the set was prepared without copies.
        """
        return np.asarray((self.manifest.get("copies") or {"of": []})["of"], np.int64)

    def require_views(self) -> None:
        """Raise ValueError where the set was prepared without views."""
        if not self.has_views:
            raise ValueError(f"{self.root} was prepared without views; prepare it again without --no-views")

    @property
    def num_views(self) -> int:
        """Number of cameras; 0 where there are neither views nor masks."""
        return self.manifest["num_views"]

    @property
    def num_points(self) -> int:
        return self.manifest["points"]["num_points"]

    @property
    def has_views(self) -> bool:
        """Whether there are view images; masks may be there without."""
        return self.manifest["views"] is not None

    @property
    def image_size(self) -> int | None:
        """Side of the views in pixels."""
        return self.manifest["views"]["size"] if self.has_views else None

    @property
    def has_part_views(self) -> bool:
        return self.manifest.get("part_views", False)

    @property
    def has_depths(self) -> bool:
        return self.manifest.get("depths") is not None

    def has_images(self, kind: str) -> bool:
        """Whether there are images of a kind (``images.KINDS``)."""
        return {"views": self.has_views, "part_views": self.has_part_views, "depths": self.has_depths}[kind]

    @property
    def has_visibility(self) -> bool:
        return self.manifest["visibility"] != "none"

    @property
    def splits(self) -> list[str]:
        return list(self.manifest["splits"])

    def split(self, name: str) -> PreparedSplit:
        """Return the shapes of one split."""
        if name not in self._splits:
            raise PreparedSetError(f"{self.root} has no split '{name}'; it has {', '.join(self.splits)}")
        return self._splits[name]

    def verify(self) -> None:
        """Read every file and compare its hash.

        Raises:
            PreparedSetError: A file differs; the message names it and both hashes.
        """
        for shard in self.shards:
            shard.verify()
        try:
            check_hashes(self.root, self.manifest["files"])
        except DamagedError as error:
            raise PreparedSetError(f"{error}.\n{self.remedy}") from None
