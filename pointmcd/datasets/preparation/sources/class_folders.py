"""A folder for each class, with its shapes in files: what folders of meshes and of clouds share."""

import argparse
import hashlib
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np
from tqdm import tqdm

from pointmcd.datasets.preparation.sources.base import (
    Item,
    Source,
    SourceError,
    add_source,
    check_folder,
)
from pointmcd.datasets.preparation.sources.part_numbers import NAMES_FILE, PartNumbers
from pointmcd.datasets.preparation.sources.walk import first_rank, say, say_passed_over, visible_folders, walk

SPLITS = ("train", "val", "test")


class ClassFolders(Source):
    """``<class>/{train,test}/*``, or ``<class>/*`` and a drawn test split.

    Args:
        source: The folder that holds the class folders, or one above it.
        test_fraction: Share of each class that becomes the test split where the folder has none.
        seed: Seeds that draw.
        unlabelled: Take the shapes at any depth as one class, ``unlabelled``, to train on: True takes all of
            them, ``train`` those that lie in no folder named ``test``.
    """

    shapes: ClassVar[str]
    """What they are called, in the plural without its last letters: ``mesh(es)``."""
    suffixes: ClassVar[tuple[str, ...]]
    companions: ClassVar[tuple[str, ...]] = ()
    """Suffixes of what lies beside the shapes and belongs to them."""
    instead: ClassVar[str]
    """What prepares folders of the other kind."""
    numbers: PartNumbers | None = None
    """The parts, where shapes have some."""

    def __init__(
        self, source: Path, test_fraction: float | None = None, seed: int = 0, unlabelled: bool | str = False
    ) -> None:
        check_folder(source)
        self.many = self.shapes.replace("(", "").replace(")", "")
        if unlabelled:
            if test_fraction is not None:
                raise SourceError(
                    f"--unlabelled uses all {self.many} for training: leave out --test-fraction"
                )
            self._take_all(source, unlabelled)
            return
        self.root = class_root(source)
        files = {folder.name: self._files(folder) for folder in visible_folders(self.root)}
        self._say_passed_over(files)
        files = {name: found for name, found in files.items() if found}
        if not files:
            example = f"NAME{self.suffixes[0]}"
            raise SourceError(
                f"{source} holds no class folders with {self.many} ({', '.join(self.suffixes)}).\n"
                f"Expected: CLASS/train/{example} and CLASS/test/{example}, or CLASS/{example}; "
                f"{self.instead}."
            )
        if len(files) > 1 and {name.lower() for name in files} <= set(SPLITS):
            raise SourceError(
                f"{self.root} has the folders {' and '.join(sorted(files))}, which are splits, in place of "
                "classes; put them into a folder that is named after their class"
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
            raise SourceError(f"--test-fraction is {fraction}, must be at least 0 and less than 1")
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

    @abstractmethod
    def parts_in_file(self, item: Item) -> np.ndarray:
        """Return the parts of a shape's faces or points, as its files number them.

        Raises:
            MeshError: It has none that can be read.
        """

    def number_parts(self) -> None:
        """Assign numbers to the parts, of classes and shapes that have some."""
        self.numbers = PartNumbers.listed(self.root, self.class_names)
        if self.numbers is None:
            bar = tqdm(self.items, "parts", unit="shape", delay=2, leave=False, disable=not first_rank())
            self.numbers = PartNumbers.found(self.class_names, bar, self.parts_in_file)
        self.part_names, self.class_parts = self.numbers.names, self.numbers.class_parts

    def is_shape(self, path: Path) -> bool:
        """Return whether a file is one of the shapes, by its name."""
        return path.suffix.lower() in self.suffixes and not path.name.startswith(".")

    def _files(self, class_folder: Path) -> list[tuple[str, Path]]:
        """Return (split, file) of every shape of a class; the split is empty where the folder has none.

        Raises:
            SourceError: A shape is not a file, and would never end.
        """
        below = visible_folders(class_folder)
        folders = [("", class_folder)]
        folders += [(split, folder) for split in SPLITS for folder in below if folder.name.lower() == split]
        found = [
            (split, path)
            for split, folder in folders
            for path in sorted(folder.iterdir())
            if self.is_shape(path)
        ]
        for _, path in found:
            if path.exists() and not path.is_file():
                raise SourceError(f"{path} is not a file; take it out of the source")
        return found

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
            if path.suffix.lower() not in self.companions and path != self.root / NAMES_FILE
        ]
        empty = [name for name, found in files.items() if not found]
        loose = [path for path in others if self.is_shape(Path(path))]
        say(empty, f"class folder(s) without {self.many} are left out")
        say(odd, f"folder(s) are passed over, as they are not splits ({', '.join(SPLITS)})")
        say(loose, f"{self.shapes} that lie in no class folder are left out")
        say_passed_over([path for path in others if not self.is_shape(Path(path))])

    def _take_all(self, source: Path, which: str | bool) -> None:
        self.root, self.class_names = source, ["unlabelled"]
        visible = [
            file.path
            for file in walk(source)
            if not any(part.startswith((".", "__")) for part in file.path.parts)
        ]
        found = sorted(path for path in visible if self.is_shape(path))
        if which == "train":
            test = [path for path in found if any(part.lower() == "test" for part in path.parts[:-1])]
            found = sorted(set(found) - set(test))
            say(
                [path.as_posix() for path in test],
                f"{self.shapes} in folders named test are left out, to test on (--unlabelled all takes them "
                "too)",
            )
        if not found:
            raise SourceError(f"{source} holds no {self.many} ({', '.join(self.suffixes)})")
        say_passed_over(
            [
                path.as_posix()
                for path in visible
                if not self.is_shape(path) and path.suffix.lower() not in self.companions
            ]
        )
        self.items = [Item(path.with_suffix("").as_posix(), 0, "train", path.as_posix()) for path in found]
        refuse_same_names(self.items)

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
            help="take the shapes at any depth as one class, to train on without labels; those in folders "
            "named test are left out, to test on, but for `--unlabelled all`",
        )


def which_unlabelled(text: str) -> str | bool:
    """Return the value of ``--unlabelled``."""
    if text not in ("train", "all"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a choice: give 'all' or nothing")
    return True if text == "all" else text  # True is what sets of earlier versions recorded


def class_root(folder: Path) -> Path:
    """Descend through folders that hold one folder, as unpacked archives have, to the class folders."""
    while len(inner := visible_folders(folder)) == 1:
        # One class alone has nothing but splits inside; a class may well be called "train".
        if all(below.name.lower() in SPLITS for below in visible_folders(inner[0])):
            break
        if inner[0].resolve() in (folder.resolve(), *folder.resolve().parents):  # a link back up
            break
        folder = inner[0]
    return folder


def drawn_split(
    files: list[tuple[str, Path]], class_name: str, fraction: float, seed: int
) -> list[tuple[str, Path]]:
    """Draw the test shapes of one class, whatever the other classes are."""
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
