"""ScanObjectNN: objects cut out of scanned rooms, 15 classes of clouds without normals."""

import argparse
from pathlib import Path
from typing import ClassVar

import numpy as np

from pointmcd.datasets.preparation.sources.base import (
    Item,
    Shape,
    Source,
    SourceError,
    add_source,
    check_folder,
)
from pointmcd.datasets.preparation.sources.hdf5 import open_hdf5, read_labels
from pointmcd.registry import SOURCES

# In the order of the labels.
CLASSES: tuple[str, ...] = (
    "bag",
    "bin",
    "box",
    "cabinet",
    "chair",
    "desk",
    "display",
    "door",
    "shelf",
    "table",
)
CLASSES += ("bed", "pillow", "sink", "sofa", "toilet")
FILES = {
    "OBJ_ONLY": ("main_split_nobg", "objectdataset.h5"),
    "OBJ_BG": ("main_split", "objectdataset.h5"),
    "PB_T50_RS": ("main_split", "objectdataset_augmentedrot_scale75.h5"),
}
"""Folder, and end of the two files' names, of each variant."""
SPLITS = {"train": "training", "test": "test"}


@SOURCES.register_module(name="scanobjectnn")
class ScanObjectNN(Source):
    """ScanObjectNN's HDF5 files: ``main_split*/{training,test}_objectdataset*.h5``; needs h5py.

    Each holds ``data`` (S, 2048, 3) and ``label`` (S,).

    Args:
        source: The unpacked folder ``h5_files``, or one above it.
        variant: ``OBJ_ONLY`` (without background), ``OBJ_BG`` (with background), or ``PB_T50_RS``, the
            hardest (boxes moved, turned and scaled).
    """

    how_to_prepare: ClassVar = {
        "scanobjectnn": "Prepare it: pointmcd prepare scanobjectnn --source h5_files.zip"
    }

    surfaces, normals, up = False, False, "y"

    def __init__(self, source: Path, variant: str = "PB_T50_RS") -> None:
        check_folder(source)
        if variant not in FILES:
            raise SourceError(f"unknown variant {variant!r}; there are {', '.join(FILES)}")
        folder, end = FILES[variant]
        self.class_names = list(CLASSES)
        self.root = source
        self.items = []
        for split, start in SPLITS.items():
            found = sorted(source.rglob(f"{folder}/{start}_{end}"))
            if len(found) != 1:
                count = "no" if not found else f"{len(found)} files"
                raise SourceError(f"{source} has {count} {folder}/{start}_{end}, which {variant} is made of")
            self.items += self._stored(found[0], split)

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        add_source(parser, "h5_files")
        parser.add_argument(
            "--variant", choices=list(FILES), default="PB_T50_RS", help="which files (default: %(default)s)"
        )

    def load(self, item: Item) -> Shape:
        name, _, row = item.file.rpartition(":")
        with open_hdf5(self.root / name, {}) as file:
            return Shape(points=file["data"][int(row)].astype(np.float32))

    def _stored(self, path: Path, split: str) -> list[Item]:
        labels = read_labels(path, {"data": (None, None, 3), "label": (None,)}, len(CLASSES))
        file_name = path.relative_to(self.root).as_posix()
        return [
            Item(f"{CLASSES[label]}/{split}_{row:05d}", label, split, f"{file_name}:{row}")
            for row, label in enumerate(labels.tolist())
        ]
