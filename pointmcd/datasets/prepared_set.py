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
the manifest's digest, the files' sizes and the arrays' headers; ``verify`` reads the files as well.

A large set may be made of shards, which lie in ``<root>/shards/NNNN``, each a set of this format; the
manifest of the whole has their digests (``preparation/shards.py``). It is read as a set in one piece is.
"""

import os
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from pointmcd.datasets.concatenated import ConcatenatedArray, ConcatenatedImages, concatenated
from pointmcd.datasets.images import KINDS, Images, decode_depth, decode_labels, decode_view
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
from pointmcd.files import read_json
from pointmcd.folders import (
    DamagedError,
    allow_open_files,
    check_hashes,
    check_name,
    check_sizes,
    digest_of,
    open_array,
    parse_object,
    read_file,
)

ARRAYS = {
    "points": ("float32", 3),
    "normals": ("float32", 3),
    "colors": ("uint8", 3),
    "parts": ("u", None),
    "visibility": ("uint32", None),
}
"""Type of each array, and its third axis."""
Rows = np.ndarray | ConcatenatedArray
"""Indexed by a row, or by a row and what is wanted of it."""
Encoded = Images | ConcatenatedImages


class PreparedSplit:
    """The shapes of one split, memory-mapped as the set is opened; of a set of shards they are those of all.

    Attributes:
        labels: (S,) int64.
        points: (S, P, 3) float32, every prefix along P a sample of the whole shape.
        normals: (S, P, 3) float32 unit normals, or None.
        colors: (S, P, 3) uint8, or None.
        parts: (S, P) uint16 indices into the set's part names, or None.
        visibility: (S, P) uint32 bit masks, or None.
    """

    labels: np.ndarray
    points: Rows
    normals: Rows | None
    colors: Rows | None
    parts: Rows | None
    visibility: Rows | None
    _views: Encoded | None
    _part_views: Encoded | None
    _depths: Encoded | None

    def __init__(self, prepared: "PreparedSet", name: str) -> None:
        self.prepared, self.name = prepared, check_name(name, "a split")
        self.folder = prepared.root / name
        self._count = int(prepared.manifest["splits"][name])
        self._parts = [shard.split(name) for shard in prepared.shards if name in shard.splits]
        if prepared.shards:
            self._concatenate()
        else:
            self._open()

    def _open(self) -> None:
        """Map the files of a set in one piece."""
        prepared, name, manifest = self.prepared, self.name, self.prepared.manifest
        listed = {file.rpartition("/")[2] for file in manifest["files"] if file.startswith(f"{name}/")}
        needed = ["names.json", "labels.npy", "points.npy"]
        needed += ["visibility.npy"] * prepared.has_visibility
        for kind, there in (
            ("views", prepared.has_views),
            ("part_views", prepared.has_part_views),
            ("depths", prepared.has_depths),
        ):
            needed += Images.file_names(kind) * there
        if lacking := [file for file in needed if file not in listed]:
            raise DamagedError(f"{prepared.root / MANIFEST} lists no {name}/{lacking[0]}")
        labels = open_array(self.folder / "labels.npy", "int64", (self._count,))
        self.labels = np.array(labels)
        if self._count and not 0 <= self.labels.min() <= self.labels.max() < len(prepared.class_names):
            raise DamagedError(f"{self.folder / 'labels.npy'} is damaged: there are no such classes")
        found: dict[str, Rows] = {
            array: open_array(
                self.folder / f"{array}.npy",
                dtype,
                (self._count, prepared.num_points, *([] if width is None else [width])),
            )
            for array, (dtype, width) in ARRAYS.items()
            if f"{array}.npy" in listed
        }
        self.points = found["points"]
        self.normals, self.colors, self.parts = (found.get(kind) for kind in ("normals", "colors", "parts"))
        self.visibility = found.get("visibility")
        self._views = self._images("views", decode_view) if prepared.has_views else None
        self._part_views = self._images("part_views", decode_labels) if prepared.has_part_views else None
        self._depths = None
        if prepared.has_depths:
            near, far = (float(manifest["depths"][end]) for end in ("near", "far"))
            self._depths = self._images("depths", partial(decode_depth, near=near, far=far))

    def _concatenate(self) -> None:
        """Put the rows of all shards behind one another."""
        if sum(map(len, self._parts)) != self._count:
            raise DamagedError(f"{self.prepared.root / MANIFEST} is damaged: it counts other shapes")
        self.labels = np.concatenate([part.labels for part in self._parts])
        for name in (*ARRAYS, *(f"_{kind}" for kind in KINDS)):
            setattr(self, name, concatenated(name, [getattr(part, name) for part in self._parts]))

    def _images(self, kind: str, decode: Any) -> Images:
        return Images(self.folder, kind, (self._count, self.prepared.num_views), decode)

    def __reduce__(self) -> tuple:
        return PreparedSet.split, (self.prepared, self.name)

    def __len__(self) -> int:
        return self._count

    @cached_property
    def names(self) -> list[str]:
        """S names; read when first asked for."""
        if self._parts:
            return [name for part in self._parts for name in part.names]
        path = self.folder / "names.json"
        try:
            names = read_json(path)
        except (OSError, ValueError) as error:
            names = error
        self.prepared.check_unchanged()
        if not isinstance(names, list) or len(names) != len(self):
            raise PreparedSetError(f"{path} is damaged: it needs {len(self)} names.\n{self.prepared.remedy}")
        return [str(name) for name in names]

    @property
    def views(self) -> Encoded:
        """The rendered views."""
        if self._views is None:
            raise PreparedSetError(
                f"{self.prepared.root} has no view images: it was prepared from points alone.\n"
                f"Teachers and distillation need views. {self.prepared.remedy}"
            )
        return self._views

    @property
    def part_views(self) -> Encoded:
        """The part of each pixel of the views, P for the background."""
        if self._part_views is None:
            raise PreparedSetError(
                f"{self.prepared.root} has no label images: they are made of sources that have parts.\n"
                f"{self.prepared.remedy}"
            )
        return self._part_views

    @property
    def depths(self) -> Encoded:
        """The depth of each pixel along the camera's axis, in bounding radii; inf for nothing."""
        if self._depths is None:
            raise PreparedSetError(
                f"{self.prepared.root} has no depth images; they are made with --depths.\n"
                f"{self.prepared.remedy}"
            )
        return self._depths


def _reopened(root: Path, digest: str) -> "PreparedSet":
    """Return what another process, such as a loader's worker, opens: the same set or none."""
    prepared = PreparedSet(root)
    if prepared.digest != digest:
        raise PreparedSetError(f"{root} was replaced by another set meanwhile; start again")
    return prepared


class PreparedSet:
    """A prepared set, opened for reading.

    All of its arrays are mapped at once. Where the folder is replaced afterwards, an opened set stays what it
    was, and other processes that would open it stop.

    Args:
        root: the folder, such as ``data/modelnet40``.
        remedy: what makes it again, the end of every message; None for the usual.

    Attributes:
        shards: the sets that it is made of, in the order of their rows; none where it is in one piece.

    Raises:
        PreparedSetError: it is missing, unfinished, damaged or of another format version, or a shard is.
    """

    def __init__(self, root: str | os.PathLike[str], remedy: str | None = None) -> None:
        self.root, self._remedy = Path(root), remedy
        self.shards: list[PreparedSet] = []
        self._text = self._manifest_text()
        self.manifest: dict[str, Any] = self._parse(self._text)
        try:
            check_values(self.manifest, self.root / MANIFEST)
            self.shards = self._open_shards()
            check_sizes(self.root, self.manifest["files"])
            if not isinstance(self.manifest["splits"], dict) or not self.manifest["splits"]:
                raise DamagedError(f"{self.root / MANIFEST} is damaged: it names no splits")
            self._splits = {name: PreparedSplit(self, name) for name in self.manifest["splits"]}
        except DamagedError as error:
            self.check_unchanged()
            raise PreparedSetError(f"{error}.\n{self.remedy}") from None
        except PreparedSetError:
            raise  # a shard's own message
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
            shard = PreparedSet(folder, f"Make that shard again: {again}")
            if shard.digest != entry["digest"] or differing_keys(shard.manifest, self.manifest):
                raise PreparedSetError(
                    f"{folder} was made anew since the shards were merged, and is another.\n"
                    f"If it is right, merge them again: {how_to_merge(self.root)}\n"
                    "Caches of teachers are of the shards before, and need to be written again."
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
        stated = str(manifest.get("digest"))
        if (actual := manifest_digest(manifest)) != stated:
            raise PreparedSetError(
                f"{path} was changed: its digest is {actual[:16]}, it states {stated[:16]}.\n{self.remedy}"
            )
        whole = manifest.get("manifest_sha256")  # of sets before this was recorded, nothing is known
        if whole is not None and whole != digest_of(manifest, ("manifest_sha256",)):
            raise PreparedSetError(
                f"{path} was changed, in what it says of how the set was made.\n{self.remedy}"
            )
        return manifest

    def check_unchanged(self) -> None:
        """Refuse to go on where the folder holds another set by now.

        Raises:
            PreparedSetError: it does, or it is gone.
        """
        text = self._manifest_text()
        if text != self._text and self._parse(text)["digest"] != self.digest:
            raise PreparedSetError(f"{self.root} was replaced by another set meanwhile; start again")

    @property
    def remedy(self) -> str:
        """The command that makes the set again."""
        if self._remedy is not None:
            return self._remedy
        if (self.root / SHARDS).is_dir():
            return f"Merge its shards: {how_to_merge(self.root)}"
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
            PreparedSetError: a file differs; the message names it and both hashes.
        """
        for shard in self.shards:
            shard.verify()
        try:
            check_hashes(self.root, self.manifest["files"])
        except DamagedError as error:
            raise PreparedSetError(f"{error}.\n{self.remedy}") from None
