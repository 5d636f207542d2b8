"""A folder of meshes with a folder for each class, as ModelNet lays it out."""

import argparse
import contextlib
import hashlib
import sys
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
    number_parts,
)
from pointmcd.datasets.preparation.sources.walk import say, say_passed_over, visible_folders, walk
from pointmcd.files import check_regular
from pointmcd.geometry.mesh import MESH_SUFFIXES, MeshError, load_mesh
from pointmcd.registry import SOURCES

SPLITS = ("train", "val", "test")
COMPANIONS = (".seg", ".mtl", ".png", ".jpg", ".jpeg", ".bmp", ".tga", ".tif", ".tiff")
"""Suffixes of what lies beside meshes and belongs to them."""


@SOURCES.register_module(name="mesh-folder")
class MeshFolder(Source):
    """A folder of meshes: ``<class>/{train,test}/*.off``, or ``<class>/*.off`` and a drawn test split.

    OFF, OBJ, PLY, STL and GLB may be mixed. Where a file ``NAME.seg`` lies beside ``NAME.off`` it holds the
    parts: one integer a face of the mesh, in their order, numbered for each class on its own. A shape without
    such a file is rejected where others have one.

    Args:
        source: the folder that holds the class folders, or one above it.
        test_fraction: share of each class that becomes the test split where the folder has none.
        seed: seeds that draw.
        unlabelled: take the meshes at any depth as one class, ``unlabelled``, to train on: True takes all of
            them, ``train`` those that lie in no folder named ``test``.
    """

    how_to_prepare: ClassVar = {
        "unlabelled": "From your meshes: python tools/prepare_data.py mesh-folder --unlabelled "
        "--source path/to/meshes --rig rings2x8 --image-size 96"
    }

    def __init__(
        self, source: Path, test_fraction: float | None = None, seed: int = 0, unlabelled: bool | str = False
    ) -> None:
        check_folder(source)
        if unlabelled:
            if test_fraction is not None:
                raise SourceError("--unlabelled takes all meshes to train on: leave out --test-fraction")
            self._take_all(source, unlabelled)
            return
        self.root = class_root(source)
        files = {folder.name: mesh_files(folder) for folder in visible_folders(self.root)}
        self._say_passed_over(files)
        files = {name: found for name, found in files.items() if found}
        if not files:
            raise SourceError(
                f"{source} holds no class folders with meshes ({', '.join(MESH_SUFFIXES)}).\n"
                "Expected is CLASS/train/NAME.off and CLASS/test/NAME.off, or CLASS/NAME.off."
            )
        given = {split for found in files.values() for split, _ in found if split}
        loose = [path for found in files.values() for split, path in found if not split]
        if given and loose:
            raise SourceError(
                f"{loose[0]} lies beside the folders {', '.join(sorted(given))}: in which split is it?"
            )
        if given and test_fraction is not None:
            raise SourceError(
                f"{source} has the splits {', '.join(sorted(given))}: leave out --test-fraction"
            )
        fraction = 0.2 if test_fraction is None else test_fraction
        if not 0 <= fraction < 1:
            raise SourceError(f"--test-fraction is {fraction}, needs at least 0 and less than 1")
        self.class_names = sorted(files)
        self.items = []
        for label, name in enumerate(self.class_names):
            found = files[name] if given else drawn_split(files[name], name, fraction, seed)
            self.items += [
                Item(f"{name}/{path.stem}", label, split, path.relative_to(self.root).as_posix())
                for split, path in found
            ]
        refuse_same_names(self.items)
        self.items.sort(key=lambda item: (SPLITS.index(item.split), item.label, item.name))
        if any(self._part_file(item).is_file() for item in self.items):
            self._number_parts()

    def _say_passed_over(self, files: dict[str, list[tuple[str, Path]]]) -> None:
        """Say which folders and files of the layout that is expected hold nothing that is read."""
        taken = {path for found in files.values() for _, path in found}
        odd = [
            inner.relative_to(self.root).as_posix()
            for name in files
            for inner in visible_folders(self.root / name)
            if inner.name.lower() not in SPLITS
        ]
        others = [
            path.relative_to(self.root).as_posix()
            for folder in (self.root, *(self.root / name for name in files))
            for below in (folder, *(f for f in visible_folders(folder) if f.name.lower() in SPLITS))
            if folder != self.root or below == folder
            for path in sorted(below.iterdir())
            if path.is_file() and path not in taken and not path.name.startswith(".")
            if path.suffix.lower() not in COMPANIONS
        ]
        empty = [name for name, found in files.items() if not found]
        loose = [path for path in others if is_mesh(Path(path))]
        say(empty, "class folder(s) without meshes are left out")
        say(odd, f"folder(s) are passed over, as they are no split ({', '.join(SPLITS)})")
        say(loose, "mesh(es) that lie in no class folder are left out")
        say_passed_over([path for path in others if not is_mesh(Path(path))])

    def _take_all(self, source: Path, which: str | bool) -> None:
        self.root, self.class_names = source, ["unlabelled"]
        visible = [
            file.path
            for file in walk(source)
            if not any(part.startswith((".", "__")) for part in file.path.parts)
        ]
        found = sorted(path for path in visible if is_mesh(path))
        if which == "train":
            test = [path for path in found if any(part.lower() == "test" for part in path.parts[:-1])]
            found = sorted(set(found) - set(test))
            say(
                [path.as_posix() for path in test],
                "mesh(es) in folders named test are left out, to test on (--unlabelled all takes them too)",
            )
        if not found:
            raise SourceError(f"{source} holds no meshes ({', '.join(MESH_SUFFIXES)})")
        say_passed_over(
            [
                path.as_posix()
                for path in visible
                if not is_mesh(path) and path.suffix.lower() not in COMPANIONS
            ]
        )
        self.items = [Item(path.with_suffix("").as_posix(), 0, "train", path.as_posix()) for path in found]
        refuse_same_names(self.items)

    def _number_parts(self) -> None:
        """Part ids that all classes share, of the integers that each class has."""
        found: list[set[int]] = [set() for _ in self.class_names]
        trained: list[set[int]] = [set() for _ in self.class_names]
        for item in self.items:
            # A file that cannot be read rejects its shape later, when the mesh is loaded.
            with contextlib.suppress(MeshError):
                parts = np.unique(read_parts(self._part_file(item))).tolist()
                found[item.label].update(parts)
                if item.split != "test":
                    trained[item.label].update(parts)
        self._own_parts = [np.array(sorted(own), dtype=np.int64) for own in found]
        self.part_names, self.class_parts = number_parts(
            dict(zip(self.class_names, self._own_parts, strict=True))
        )
        untrained = [
            f"{name}-{part}"
            for name, own, seen in zip(self.class_names, found, trained, strict=True)
            for part in sorted(own - seen)
        ]
        if untrained:
            print(
                f"warning: no shape to train on has the parts {', '.join(untrained)}, which test shapes have",
                file=sys.stderr,
            )

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        add_source(parser, "a folder for each class")
        parser.add_argument(
            "--test-fraction",
            type=float,
            help="share drawn as test where there are no train/test folders (0.2)",
        )
        parser.add_argument(
            "--unlabelled",
            nargs="?",
            const="train",
            default=False,
            type=which_unlabelled,
            metavar="all",
            help="take the meshes at any depth as one class, to train on without labels; those in folders "
            "named test are left out, to test on, but for `--unlabelled all`",
        )

    def load(self, item: Item) -> Shape:
        mesh = load_mesh(self.root / item.file)
        if self.class_parts is None:
            return Shape(mesh=mesh)
        path = self._part_file(item)
        parts, polygons = read_parts(path), mesh.metadata["polygons"]
        if len(parts) != polygons:
            raise MeshError(f"{path.name} has {len(parts)} parts, the mesh has {polygons} faces")
        own = np.searchsorted(self._own_parts[item.label], parts[np.asarray(mesh.face_attributes["polygon"])])
        return Shape(mesh=mesh, face_parts=np.asarray(self.class_parts[item.label])[own])

    def _part_file(self, item: Item) -> Path:
        return (self.root / item.file).with_suffix(".seg")


def read_parts(path: Path) -> np.ndarray:
    """(F,) int64 parts of a mesh's faces, from a text of one integer a face, none of them negative.

    Raises:
        MeshError: the file is missing or is no such text.
    """
    try:
        check_regular(path)
        parts = np.array([int(word) for word in path.read_text("utf-8").split()], dtype=np.int64)
    except FileNotFoundError:
        raise MeshError(f"{path.name} is missing, which holds the parts of its faces") from None
    except (ValueError, OverflowError, OSError) as error:
        raise MeshError(f"{path.name} is not one integer a face: {error}") from error
    if (parts < 0).any():
        raise MeshError(
            f"{path.name} has the part {parts.min()} at {(parts < 0).sum()} of {len(parts)} faces; "
            "every face needs one, from 0"
        )
    return parts


def which_unlabelled(text: str) -> str | bool:
    """The value of ``--unlabelled``."""
    if text not in ("train", "all"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither 'all' nor left out")
    return True if text == "all" else text  # True is what sets of earlier versions recorded


def is_mesh(path: Path) -> bool:
    return path.suffix.lower() in MESH_SUFFIXES and not path.name.startswith(".")


def class_root(folder: Path) -> Path:
    """Descends through folders that hold one folder, as unpacked archives have, to the class folders."""
    while len(inner := visible_folders(folder)) == 1:
        # One class alone has nothing but splits inside; a class may well be called "train".
        if all(below.name.lower() in SPLITS for below in visible_folders(inner[0])):
            break
        if inner[0].resolve() in (folder.resolve(), *folder.resolve().parents):  # a link back up
            break
        folder = inner[0]
    return folder


def mesh_files(class_folder: Path) -> list[tuple[str, Path]]:
    """(split, file) of every mesh of a class; the split is empty where the folder has none.

    Raises:
        SourceError: a mesh is no file, and would never end.
    """
    below = visible_folders(class_folder)
    folders = [("", class_folder)]
    folders += [(split, folder) for split in SPLITS for folder in below if folder.name.lower() == split]
    found = [(split, path) for split, folder in folders for path in sorted(folder.iterdir()) if is_mesh(path)]
    for _, path in found:
        if path.exists() and not path.is_file():
            raise SourceError(f"{path} is no file; take it out of the source")
    return found


def drawn_split(
    files: list[tuple[str, Path]], class_name: str, fraction: float, seed: int
) -> list[tuple[str, Path]]:
    """Draws the test shapes of one class, whatever the other classes are."""
    class_seed = int.from_bytes(hashlib.sha256(class_name.encode()).digest()[:4])
    order = np.random.default_rng([seed, class_seed]).permutation(len(files))
    test = set(order[: round(fraction * len(files))].tolist())
    return [("test" if row in test else "train", path) for row, (_, path) in enumerate(files)]


def refuse_same_names(items: list[Item]) -> None:
    seen: dict[tuple[str, str], str] = {}
    for item in items:
        if other := seen.get((item.split, item.name)):
            raise SourceError(f"{other} and {item.file} have the same name; rename one of them")
        seen[item.split, item.name] = item.file
