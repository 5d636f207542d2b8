"""A folder of point clouds with a folder for each class."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pointmcd.datasets.preparation.sources.base import Item, Shape, SourceError
from pointmcd.datasets.preparation.sources.class_folders import ClassFolders
from pointmcd.datasets.preparation.sources.walk import first_rank
from pointmcd.geometry.cloud import CLOUD_SUFFIXES, EXTRAS, Cloud, CloudColumns, is_cloud, load_cloud
from pointmcd.geometry.formats.point_text import SEPARATORS
from pointmcd.geometry.mesh import MeshError
from pointmcd.registry import SOURCES


@SOURCES.register_module(name="cloud-folder")
class CloudFolder(ClassFolders):
    """A folder of point clouds: ``<class>/{train,test}/*.ply``, or ``<class>/*.ply`` and a drawn test split.

    PLY without faces, XYZ, TXT, PTS, CSV, NPY, NPZ, and with the extra ``clouds`` PCD, LAS and LAZ may be
    mixed. Columns are found by their names or their values (``geometry.load_cloud``). The first cloud that
    can be read says whether there are normals, colours and parts; one that lacks them is rejected. Parts are
    numbered for each class on its own; a file ``parts.txt`` beside the classes names them, a line ``category
    number name`` for each.

    Args:
        source: As ``ClassFolders``, like the next three.
        test_fraction: ...
        seed: ...
        unlabelled: ...
        columns: Names of the columns of NPY and text, such as ``x y z nx ny nz part``; ``-`` is not read.
        separator: Between the numbers of text: ``comma``, ``semicolon``, ``tab`` or ``space``.
        part_column: Name of the column that holds the parts; by default ``part``, ``label`` and the like.
        without: Which of ``normals``, ``colors`` and ``parts`` are left out where clouds have them.
    """

    shapes, suffixes = "point cloud(s)", CLOUD_SUFFIXES
    companions = (".seg", ".json", ".png", ".jpg", ".jpeg")
    instead = "folders of meshes are prepared by mesh-folder"
    surfaces = False

    def __init__(
        self,
        source: Path,
        test_fraction: float | None = None,
        seed: int = 0,
        unlabelled: bool | str = False,
        columns: str | None = None,
        separator: str | None = None,
        part_column: str | None = None,
        without: Sequence[str] | None = None,
    ) -> None:
        super().__init__(source, test_fraction, seed, unlabelled)
        self.find_columns(columns, separator, part_column, without, parts=not unlabelled)

    def find_columns(
        self,
        columns: str | None,
        separator: str | None,
        part_column: str | None,
        without: Sequence[str] | None,
        parts: bool,
    ) -> None:
        """Find out what the first cloud that can be read has, which all need to have.

        Args:
            columns: As the constructor, like the next three.
            separator: ...
            part_column: ...
            without: ...
            parts: Whether parts are wanted.
        """
        try:
            self.columns = CloudColumns.of(columns, separator, part_column)
        except ValueError as error:
            raise SourceError(str(error)) from None
        self.wanted = [kind for kind in EXTRAS if kind not in (without or ())]
        if not parts:
            self.wanted = [kind for kind in self.wanted if kind != "parts"]
        self.first, cloud = self._first()
        if cloud is None and part_column is not None and "parts" in self.wanted and self.items:
            try:
                self._read(self.items[0])
            except MeshError as error:  # of all of them, so that the set would have no parts
                raise SourceError(f"--part-column {part_column}: {self.items[0].file}: {error}") from None
        found = [] if cloud is None else [k for k in self.wanted if getattr(cloud, k) is not None]
        self.wanted = found
        self.normals = "normals" in found
        if cloud is not None and first_rank():
            names = " ".join(cloud.columns)
            print(f"columns of {self.first}: {names}; read are points{_listed(found)}", file=sys.stderr)
        if "parts" in found:
            self.number_parts()

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        ClassFolders.add_arguments(parser)
        CloudFolder.add_columns(parser)

    @staticmethod
    def add_columns(parser: argparse.ArgumentParser) -> None:
        """Declare what says how text is read."""
        add = parser.add_argument
        add(
            "--columns",
            metavar="NAMES",
            help="of text and NPY: 'x y z nx ny nz - part'; - is not read",
        )
        add("--separator", choices=list(SEPARATORS), help="of text (that of the first line)")
        add("--part-column", metavar="NAME", help="column of the parts (part, label, seg ...)")
        add("--without", nargs="+", choices=EXTRAS, help="leave these out where clouds have them")

    def load(self, item: Item) -> Shape:
        cloud = self._read(item)
        if lacking := [kind for kind in self.wanted if getattr(cloud, kind) is None]:
            raise MeshError(
                f"it has no {lacking[0]}, which {self.first} has; --without {lacking[0]} drops them all"
            )
        parts = None
        if self.numbers is not None and cloud.parts is not None:
            parts = self.numbers.of(item.label, cloud.parts)
        return Shape(points=cloud.points, normals=cloud.normals, colors=cloud.colors, point_parts=parts)

    def parts_in_file(self, item: Item) -> np.ndarray:
        parts = load_cloud(self.root / item.file, self.columns, ("parts",)).parts
        if parts is None:
            raise MeshError("it has no parts")
        return parts

    def _read(self, item: Item) -> Cloud:
        path = self.root / item.file
        if path.suffix.lower() == ".ply" and not is_cloud(path):
            raise MeshError("it has faces: mesh-folder prepares meshes")
        return load_cloud(path, self.columns, self.wanted)

    def _first(self) -> tuple[str, Cloud | None]:
        """Return the first cloud that can be read, and its file."""
        for item in self.items:
            try:
                return item.file, self._read(item)
            except MeshError:  # which rejects it when it is loaded
                continue
        return "", None


def _listed(found: Sequence[str]) -> str:
    return "".join(f", {kind}" for kind in found)
