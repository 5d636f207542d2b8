"""What a source of shapes is: a list of named items, and a way to load one of them."""

import argparse
import pickle
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

if TYPE_CHECKING:
    import trimesh


SPLITS = ("train", "test", "val")


class SourceError(ValueError):
    """A source as a whole cannot be used: missing, empty or not laid out as expected."""


@dataclass(frozen=True)
class Item:
    """One shape of a source, not loaded yet.

    Attributes:
        name: Unique within its split; what follows the last ``/`` seeds the sampling.
        label: Index into ``Source.class_names``.
        split: ``train``, ``test`` or ``val``.
        file: Where it lies, relative to the source's folder; empty where shapes are generated.
    """

    name: str
    label: int
    split: str
    file: str = ""


@dataclass(frozen=True)
class Shape:
    """One loaded shape, in the units and axes of its source: a mesh, or else a cloud of points.

    Attributes:
        mesh: The surface; sampled, rendered and normalised by the preparation.
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

    ``pointmcd prepare`` builds it from the command line arguments that are named as the constructor's
    parameters: ``seed`` is the command's own and seeds the sampling too, the others are declared by
    ``add_arguments``. A parameter ``source`` is the ``Path`` of a folder (the command unpacks archives), or
    of a file whose suffix is among ``files``. Other options that name files or folders have ``type=Path``: a
    set is known to be another once their content is.

    A source is pickled to worker processes: it keeps file names, not file handles, and ``load`` depends on
    nothing but the constructor's arguments and the item.

    Attributes:
        items: All shapes, in the order of the prepared set; set by the constructor.
        class_names: Names of the classes, in the order of the labels; set by the constructor.
        part_names: Names of all parts of all classes, where shapes have parts.
        class_parts: The parts that each class may have, as indices into ``part_names``.
        surfaces: Whether shapes are meshes; clouds are rendered as splats.
        normals: Whether clouds have normals; if not, they are estimated for the pictures, and masks are made
            by ``hpr``.
        rig: The cameras, unless the user says otherwise.
        up: The axis that points up in the raw data, unless the user says otherwise.
        how_to_prepare: What to do for a set that configs name, by the name of its folder: words that end with
            the command, to which ``--out FOLDER`` is added.
        files: Suffixes of a file that ``source`` may be, besides a folder or an archive, and that the source
            reads itself.
        lists: Suffixes of the file that ``source`` is, where it is a list of files, no folder and no archive.
        root: What ``Item.file`` is relative to; needed of lists.
    """

    items: list[Item]
    class_names: list[str]
    part_names: list[str] | None = None
    class_parts: list[list[int]] | None = None
    surfaces: bool = True
    normals: bool = True
    rig: str = "circle12"
    up: str = "z"
    how_to_prepare: ClassVar[Mapping[str, str]] = {}
    files: ClassVar[tuple[str, ...]] = ()
    lists: ClassVar[tuple[str, ...]] = ()
    root: Path

    @staticmethod  # noqa: B027 - a source may have none
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the source's own command line arguments, named as the constructor's parameters."""

    @classmethod
    def reads(cls, path: Path) -> bool:
        """Return whether a file of that name is one that the source reads itself."""
        return path.suffix.lower() in (*cls.files, *cls.lists)

    @abstractmethod
    def load(self, item: Item) -> Shape:
        """Load one shape.

        Raises:
            MeshError: The shape is not usable; the message is the reason that the manifest records.
        """


def check_contract(source: Source) -> None:
    """Refuse a source that breaks its contract, before a shape is prepared.

    Raises:
        SourceError: It has no items or names, two items of one name, a label without a class, a split that
            nothing reads, or parts that do not fit the classes.
    """
    whose = type(source).__name__
    for name in ("items", "class_names"):
        if not getattr(source, name, None):
            raise SourceError(f"the source {whose} has no {name}, which its constructor sets")
    classes = len(source.class_names)
    seen = set()
    for item in source.items:
        if not 0 <= item.label < classes:
            raise SourceError(
                f"{whose}: {item.name} has the label {item.label}, but there are {classes} classes"
            )
        if item.split not in SPLITS:
            raise SourceError(
                f"{whose}: {item.name} has the split {item.split!r}, must be one of {', '.join(SPLITS)}"
            )
        if (item.split, item.name) in seen:
            raise SourceError(f"{whose}: two shapes of the split {item.split} are called {item.name!r}")
        seen.add((item.split, item.name))
    if (source.part_names is None) != (source.class_parts is None):
        raise SourceError(f"{whose} has only one of part_names and class_parts; it needs both or neither")
    if source.class_parts is not None and len(source.class_parts) != classes:
        raise SourceError(
            f"{whose}: class_parts has {len(source.class_parts)} classes, class_names {classes}"
        )


def check_pickles(source: Source) -> None:
    """Refuse a source that cannot be sent to worker processes.

    Raises:
        SourceError: It cannot.
    """
    try:
        pickle.dumps(source)
    except Exception as error:  # each type says so in its own way
        raise SourceError(
            f"the source {type(source).__name__} cannot be sent to worker processes ({error}): it keeps no "
            "open files, and opens them in load (--workers 0 does without)"
        ) from error


def check_folder(source: Path) -> None:
    """Refuse what is not a folder.

    Raises:
        SourceError: ``source`` is none.
    """
    if not source.is_dir():
        raise SourceError(f"{source} is not a folder")


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
