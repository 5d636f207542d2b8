"""The prepared format: a folder that holds everything a training reads, memory-mapped and without pickle.

    <root>/manifest.json             what the set is and how it was made; written last
    <root>/<split>/names.json        S names
                   labels.npy        (S,) int64
                   points.npy        (S, P, 3) float32, unit ball, z up, in farthest-point order
                   normals.npy       (S, P, 3) float32                 | where the source has them
                   parts.npy         (S, P) uint16                     |
                   visibility.npy    (S, P) uint32, bit v: seen by view v
                   views.bin         S * V encoded images, one after the other
                   view_offsets.npy  (S * V + 1,) int64 offsets into views.bin
                   part_views.bin, part_view_offsets.npy  the part of each pixel    | where they were
                   depths.bin, depth_offsets.npy          the depth of each pixel   | asked for

The digest is a SHA-256 over the manifest, which itself holds the SHA-256 of every file. Opening a set checks
the manifest's digest and the files' sizes; ``verify`` reads the files as well.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from pointmcd.datasets.images import Images, bin_path, decode_depth, decode_labels, decode_view
from pointmcd.files import file_sha256

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
ARRAY_NAMES = ("points", "normals", "parts", "visibility")
UNHASHED = ("digest", "request", "rejected", "made_with")
"""Manifest keys outside the digest: the same shapes from a folder and from an archive are the same set."""


class PreparedSetError(ValueError):
    """A prepared set is missing, damaged or of another format."""


def manifest_digest(manifest: dict[str, Any]) -> str:
    body = {key: value for key, value in manifest.items() if key not in UNHASHED}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


class PreparedSplit:
    """The shapes of one split. Arrays are memory-mapped when first used; pickling passes the path alone."""

    def __init__(
        self, root: Path, name: str, num_views: int, depth_range: tuple[float, float] | None = None
    ) -> None:
        self.folder = root / name
        self.name = name
        self.num_views = num_views
        self.depth_range = depth_range

    def __reduce__(self) -> tuple:
        return type(self), (self.folder.parent, self.name, self.num_views, self.depth_range)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def names(self) -> list[str]:
        return json.loads((self.folder / "names.json").read_text("utf-8"))

    @cached_property
    def labels(self) -> np.ndarray:
        """(S,) int64."""
        return np.load(self.folder / "labels.npy")

    @cached_property
    def points(self) -> np.ndarray:
        """(S, P, 3) float32, every prefix along P a sample of the whole shape."""
        return np.load(self.folder / "points.npy", mmap_mode="r")

    @cached_property
    def normals(self) -> np.ndarray | None:
        """(S, P, 3) float32 unit normals."""
        return self._optional("normals")

    @cached_property
    def parts(self) -> np.ndarray | None:
        """(S, P) uint16 indices into the set's part names."""
        return self._optional("parts")

    @cached_property
    def visibility(self) -> np.ndarray | None:
        """(S, P) uint32 bit masks."""
        return self._optional("visibility")

    @cached_property
    def views(self) -> Images:
        if not bin_path(self.folder, "views").is_file():
            raise PreparedSetError(
                f"{self.folder.parent} has no view images: it was prepared from points alone.\n"
                f"Teachers and distillation need views. {_again(self.folder.parent)}"
            )
        return Images(self.folder, "views", self.num_views, decode_view)

    @cached_property
    def part_views(self) -> Images:
        """The part of each pixel of the views, P for the background."""
        if not bin_path(self.folder, "part_views").is_file():
            raise PreparedSetError(
                f"{self.folder.parent} has no label images: they are made of sources that have parts.\n"
                f"{_again(self.folder.parent)}"
            )
        return Images(self.folder, "part_views", self.num_views, decode_labels)

    @cached_property
    def depths(self) -> Images:
        """The depth of each pixel along the camera's axis, in bounding radii; inf for nothing."""
        if self.depth_range is None:
            raise PreparedSetError(
                f"{self.folder.parent} has no depth images; they are made with --depths.\n"
                f"{_again(self.folder.parent)}"
            )
        near, far = self.depth_range
        return Images(self.folder, "depths", self.num_views, partial(decode_depth, near=near, far=far))

    def _optional(self, name: str) -> np.ndarray | None:
        path = self.folder / f"{name}.npy"
        return np.load(path, mmap_mode="r") if path.is_file() else None


class PreparedSet:
    """A prepared set, opened for reading.

    Args:
        root: the folder, such as ``data/modelnet40``.

    Raises:
        PreparedSetError: it is missing, unfinished, damaged or of another format version.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        path = self.root / MANIFEST
        if not path.is_file():
            raise PreparedSetError(_how_to_prepare(self.root))
        try:
            self.manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
        except ValueError as error:
            raise PreparedSetError(f"{path} is damaged ({error}).\n{_again(self.root)}") from error
        if self.manifest.get("format_version") != FORMAT_VERSION:
            raise PreparedSetError(
                f"{self.root} has format {self.manifest.get('format_version')}, "
                f"this version of pointmcd reads {FORMAT_VERSION}.\n{_again(self.root)}"
            )
        if (actual := manifest_digest(self.manifest)) != self.digest:
            raise PreparedSetError(
                f"{path} was changed: its digest is {actual[:16]}, it states {self.digest[:16]}.\n"
                f"{_again(self.root)}"
            )
        for name, entry in self._files():
            size = name.stat().st_size if name.is_file() else None
            if size != entry["bytes"]:
                found = "is missing" if size is None else f"has {size} bytes instead of {entry['bytes']}"
                raise PreparedSetError(f"{name} {found}.\n{_again(self.root)}")

    def _files(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        return ((self.root / name, entry) for name, entry in self.manifest["files"].items())

    def __reduce__(self) -> tuple:
        return type(self), (self.root,)

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
        if name not in self.splits:
            raise PreparedSetError(f"{self.root} has no split '{name}'; it has {', '.join(self.splits)}")
        depths = self.manifest.get("depths")
        depth_range = None if depths is None else (depths["near"], depths["far"])
        return PreparedSplit(self.root, name, self.num_views, depth_range)

    def verify(self) -> None:
        """Reads every file and compares its hash.

        Raises:
            PreparedSetError: a file differs; the message names it and both hashes.
        """
        for path, entry in self._files():
            if (actual := file_sha256(path)) != entry["sha256"]:
                raise PreparedSetError(
                    f"{path} was changed: its SHA-256 is {actual[:16]}, the manifest has "
                    f"{entry['sha256'][:16]}.\n{_again(self.root)}"
                )


HOW_TO_PREPARE = {
    "modelnet40": (
        "Get the Princeton meshes, ModelNet40.zip (2 GB): https://modelnet.cs.princeton.edu\n"
        "Prepare them: python tools/prepare_data.py modelnet40 --source ModelNet40.zip"
    ),
    "shapenetpart": (
        "Prepare it: python tools/prepare_data.py shapenet-part "
        "--source shapenetcore_partanno_segmentation_benchmark_v0_normal"
    ),
    "shapenetcore": "Prepare it: python tools/prepare_data.py shapenet-core --source ShapeNetCore.v2",
    "scanobjectnn": "Prepare it: python tools/prepare_data.py scanobjectnn --source h5_files.zip",
    "builtinpart": "Prepare them: python tools/prepare_data.py builtin --rig rings2x8 --image-size 96",
    "unlabelled": (
        "From your meshes: python tools/prepare_data.py mesh-folder --unlabelled --source path/to/meshes "
        "--rig rings2x8 --image-size 96"
    ),
}
"""The command for the sets that configs name, by the name of the folder."""


def _how_to_prepare(root: Path) -> str:
    missing = f"{root} holds no prepared shapes (there is no {MANIFEST}).\n"
    if root.name in HOW_TO_PREPARE:
        return f"{missing}{HOW_TO_PREPARE[root.name]} --out {root}"
    return (
        f"{missing}From your meshes: python tools/prepare_data.py mesh-folder --source path/to/meshes "
        f"--out {root}\n"
        f"From built-in shapes: python tools/prepare_data.py builtin --out {root}"
    )


def _again(root: Path) -> str:
    return f"Prepare it again: python tools/prepare_data.py SOURCE --out {root} --overwrite"
