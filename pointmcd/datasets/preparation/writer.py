"""Writes the prepared format (``datasets/prepared_set.py``): shape by shape, then sealed with a digest."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pointmcd.datasets.images import ImagesWriter
from pointmcd.datasets.manifest import FORMAT_VERSION, MANIFEST, PreparedSetError, manifest_digest
from pointmcd.files import write_json
from pointmcd.folders import create_array, describe_files, digest_of


@dataclass(frozen=True)
class EncodedShape:
    """One shape as it goes to disk.

    Attributes:
        arrays: Some of ``prepared_split.ARRAYS``, without the leading shape axis.
        images: The encoded images of its V views, by kind (``images.KINDS``); empty where it has none.
    """

    arrays: dict[str, np.ndarray]
    images: dict[str, list[bytes]] = field(default_factory=dict)

    @property
    def contents(self) -> list[str]:
        """What it holds, for comparison with other shapes."""
        return [*sorted(self.arrays), *(f"{len(found)} {kind}" for kind, found in self.images.items())]


class SplitWriter:
    """Writes the files of one split, shape by shape, in a bounded amount of memory.

    Args:
        folder: Created; must not exist yet.
        names: Of all S shapes, in the order in which ``add`` receives them.
        labels: (S,) class indices.
    """

    def __init__(self, folder: Path, names: list[str], labels: list[int]) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.names = names
        self._arrays: dict[str, np.ndarray] = {}
        self._images: dict[str, ImagesWriter] = {}
        self._contents: list[str] = []
        self._written = 0
        (folder / "names.json").write_text(json.dumps(names, indent=0, ensure_ascii=False) + "\n", "utf-8")
        np.save(folder / "labels.npy", np.asarray(labels, np.int64))

    def add(self, shape: EncodedShape) -> None:
        if self._written == 0:
            self._arrays = {
                name: create_array(self.folder / f"{name}.npy", array.dtype, (len(self.names), *array.shape))
                for name, array in shape.arrays.items()
            }
            self._images = {kind: ImagesWriter(self.folder, kind) for kind in shape.images}
            self._contents = shape.contents
        if shape.contents != self._contents:
            raise PreparedSetError(
                f"{self.names[self._written]} has {', '.join(shape.contents)}, "
                f"the shapes before it have {', '.join(self._contents)}"
            )
        for name, array in shape.arrays.items():
            self._arrays[name][self._written] = array
        for kind, encoded in shape.images.items():
            self._images[kind].add(encoded)
        self._written += 1

    def close(self) -> None:
        for images in self._images.values():
            images.close()
        for array in self._arrays.values():
            array.flush()  # type: ignore[attr-defined]
        if self._written != len(self.names):
            raise PreparedSetError(f"{self.folder}: {self._written} of {len(self.names)} shapes were written")


def seal(root: Path, header: dict[str, Any]) -> str:
    """Complete a set whose splits are written: hash its files and write the manifest.

    Args:
        header: What the manifest says beyond the files; needs ``class_names`` and ``splits``.

    Returns:
        The digest of the set.
    """
    paths = [path for split in header["splits"] for path in sorted((root / split).iterdir())]
    return write_manifest(root, header, describe_files(root, paths))


def write_manifest(
    root: Path, header: dict[str, Any], files: dict[str, dict[str, Any]], version: int = FORMAT_VERSION
) -> str:
    """Write the manifest of a set whose files are there.

    Args:
        header: What it says beyond the files.
        files: As ``describe_files`` gives them.
        version: Of the format.

    Returns:
        The digest of the set.
    """
    manifest = {"format_version": version, **header, "files": files}
    manifest["digest"] = manifest_digest(manifest)
    manifest["manifest_sha256"] = digest_of(manifest)
    write_json(root / MANIFEST, manifest)
    return manifest["digest"]
