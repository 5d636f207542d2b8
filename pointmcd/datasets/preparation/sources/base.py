"""What a source of shapes is: a list of named items, and a way to load one of them."""

import argparse
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

if TYPE_CHECKING:
    import trimesh


class SourceError(ValueError):
    """A source as a whole cannot be used: missing, empty or not laid out as expected."""


@dataclass(frozen=True)
class Item:
    """One shape of a source, not loaded yet."""

    name: str
    """Unique within its split; what follows the last ``/`` seeds the sampling."""
    label: int
    """Index into ``Source.class_names``."""
    split: str
    """``train`` or ``test``."""
    file: str = ""
    """Where it lies, relative to the source's folder; empty where shapes are generated."""


@dataclass(frozen=True)
class Shape:
    """One loaded shape, in the units and axes of its source: a mesh, or else a cloud of points.

    Attributes:
        mesh: the surface; sampled, rendered and normalised by the preparation.
        face_parts: (F,) integers, the part of each face (index into ``Source.part_names``).
        points: (N, 3) float32, where there is no mesh.
        normals: (N, 3) float32 unit normals of ``points``.
        colors: (N, 3) float32 in [0, 1], of ``points``.
        point_parts: (N,) integers, the part of each point.
    """

    mesh: "trimesh.Trimesh | None" = None
    face_parts: np.ndarray | None = None
    points: np.ndarray | None = None
    normals: np.ndarray | None = None
    colors: np.ndarray | None = None
    point_parts: np.ndarray | None = None

    def __post_init__(self) -> None:
        if (self.mesh is None) == (self.points is None):
            raise ValueError("a Shape holds either a mesh or points")


class Source(ABC):
    """A collection of labelled shapes.

    The tool builds it from the command line arguments that are named as the constructor's parameters:
    ``seed`` is the tool's own and seeds the sampling too, the others are declared by ``add_arguments``. A
    parameter ``source`` is the path of a folder; the tool unpacks archives.

    A source is pickled to worker processes: it keeps file names, not file handles, and ``load`` depends on
    nothing but the constructor's arguments and the item.
    """

    surfaces: bool = True
    """Whether shapes are meshes; clouds are rendered as splats."""

    normals: bool = True
    """Whether clouds have normals; if not, they are estimated for the pictures."""

    rig: str = "circle12"
    """The cameras, unless the user says otherwise."""

    up: str = "z"
    """The axis that points up in the raw data, unless the user says otherwise."""

    how_to_prepare: ClassVar[Mapping[str, str]] = {}
    """What to do for a set that configs name, by the name of its folder: words that end with the command, to
    which ``--out FOLDER`` is added.
    """

    class_names: list[str]
    part_names: list[str] | None = None
    class_parts: list[list[int]] | None = None
    """The parts that each class may have, as indices into ``part_names``."""
    items: list[Item]

    @staticmethod  # noqa: B027 - a source may have none
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the source's own command line arguments, named as the constructor's parameters."""

    @abstractmethod
    def load(self, item: Item) -> Shape:
        """Load one shape.

        Raises:
            MeshError: the shape is not usable; the message is the reason that the manifest records.
        """


def check_folder(source: Path) -> None:
    """Refuse what is no folder.

    Raises:
        SourceError: ``source`` is none.
    """
    if not source.is_dir():
        raise SourceError(f"{source} is no folder")


def add_source(parser: argparse.ArgumentParser, help: str) -> None:
    """Declare ``--source``, the path of a folder or of an archive of it."""
    parser.add_argument(
        "--source", type=Path, required=True, help=f"{help}; folder or archive (.tar.*, .zip)"
    )


def number_parts(parts: Mapping[str, Iterable[object]]) -> tuple[list[str], list[list[int]]]:
    """Assign numbers to the parts of all classes, one class after the other.

    Args:
        parts: For each class, in the order of the labels, what its parts are called.

    Returns:
        ``Source.part_names`` (``CLASS-PART``) and ``Source.class_parts``.
    """
    names: list[str] = []
    of_classes: list[list[int]] = []
    for class_name, own in parts.items():
        first = len(names)
        names += [f"{class_name}-{part}" for part in own]
        of_classes.append(list(range(first, len(names))))
    return names, of_classes
