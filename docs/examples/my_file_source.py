"""A source of one file: ``pointmcd prepare --imports my_file_source my-scans --source scans.npz --out s``."""

import argparse
from pathlib import Path

import numpy as np

from pointmcd.datasets.preparation.sources import Item, Shape, Source, SourceError
from pointmcd.geometry import MeshError
from pointmcd.registry import SOURCES


@SOURCES.register_module(name="my-scans")
class Scans(Source):
    """Clouds in one NPZ file: an array (N, 3) for each, called ``class/name`` (``chair/0001``).

    Args:
        source: The file.
        test_names: Text file with a name in each line, of the shapes to test on; None: all are to train on.
    """

    files = (".npz",)  # what --source may be, besides a folder or an archive
    surfaces, normals = False, False  # clouds, and they have no normals
    up = "y"

    def __init__(self, source: Path, test_names: Path | None = None) -> None:
        self.source = source
        try:
            with np.load(source) as stored:  # allow_pickle stays False
                names = sorted(stored.files)
            tested = set() if test_names is None else set(test_names.read_text("utf-8").split())
        except OSError as error:
            raise SourceError(f"{error.filename} cannot be read: {error.strerror}") from None
        if bad := [name for name in names if name.count("/") != 1]:
            raise SourceError(f"{source}: {bad[0]} is not called class/name")
        self.class_names = sorted({name.split("/")[0] for name in names})
        self.items = [
            Item(
                name,
                self.class_names.index(name.split("/")[0]),
                split="test" if name in tested else "train",
                file=name,
            )
            for name in names
        ]

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare both; by ``type=Path`` a set is known to be another once the file is."""
        parser.add_argument("--source", type=Path, required=True, help="NPZ file of clouds")
        parser.add_argument("--test-names", type=Path, help="text file, names of the shapes to test on")

    def load(self, item: Item) -> Shape:
        """Read one cloud; the file is opened here, as an open one cannot be sent to worker processes."""
        with np.load(self.source) as stored:
            points = stored[item.file].astype(np.float32)
        if points.ndim != 2 or points.shape[1] != 3:
            raise MeshError(f"an array of shape {points.shape}, needs (N, 3)")  # this shape alone is rejected
        return Shape(points=points)
