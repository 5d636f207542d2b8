"""Lists of files with their labels, CSV or JSON, in place of folders of classes."""

import argparse
import csv
import json
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, NamedTuple

from pointmcd.datasets.preparation.sources.base import Item, Shape, Source, SourceError
from pointmcd.datasets.preparation.sources.class_folders import SPLITS, drawn_split, refuse_same_names
from pointmcd.datasets.preparation.sources.cloud_folder import CloudFolder
from pointmcd.datasets.preparation.sources.mesh_folder import MeshFolder
from pointmcd.datasets.preparation.sources.walk import say
from pointmcd.geometry.mesh import MeshError
from pointmcd.registry import SOURCES

COLUMNS = ("path", "label", "split", "name")
SUFFIXES = (".csv", ".json")


class Row(NamedTuple):
    """A row of a list; empty texts where it does not say."""

    path: str
    label: str
    split: str
    name: str


class FileList(Source):
    """What lists of meshes and of clouds share.

    A list has a row for each shape, with the columns ``path`` and, where there are any, ``label`` (the name
    of a class), ``split`` (train, val or test; train where it is left out) and ``name`` (the path without its
    suffix where it is left out). Others are not read. In CSV the first line names the columns; JSON is a
    list of objects with these keys.
    """

    lists = SUFFIXES
    how_to_prepare: ClassVar = {}

    def read(
        self, source: Path, root: Path | None, test_fraction: float | None, seed: int, unlabelled: str | bool
    ) -> None:
        """Set ``root``, ``class_names`` and ``items``.

        Args:
            source: The list.
            root: The folder that its paths are relative to; None for the list's own.
            test_fraction: Share of each class that becomes the test split; of lists without splits.
            seed: Seeds that draw.
            unlabelled: Take the rows without a label (``bare``) or all of them as one class,
                ``unlabelled``, to train on; rows of other splits than train are left out.

        Raises:
            SourceError: The list cannot be used; the message has the row.
        """
        self.root = source.parent if root is None else root
        rows = read_rows(source)
        if unlabelled:
            if test_fraction is not None:
                raise SourceError("--unlabelled uses all rows for training: leave out --test-fraction")
            chosen = [row for row in rows if unlabelled == "all" or not row.label]
            if not chosen:
                raise SourceError(f"every row of {source} has a label; --unlabelled all takes those too")
            others = [row.path for row in chosen if row.split != "train"]
            say(others, "row(s) of other splits than train are left out")
            chosen = [row._replace(label="unlabelled") for row in chosen if row.split == "train"]
        else:
            chosen = [row for row in rows if row.label]
            if not chosen:
                raise SourceError(f"no row of {source} has a label; --unlabelled prepares them as one class")
            bare = [row.path for row in rows if not row.label]
            say(
                bare, "row(s) without a label are left out; --unlabelled makes a set of them, to train on too"
            )
        self.class_names = sorted({row.label for row in chosen})
        labels = {name: label for label, name in enumerate(self.class_names)}
        if test_fraction is not None:
            chosen = _drawn(chosen, test_fraction, seed, source)
        self.items = [Item(row.name, labels[row.label], row.split, row.path) for row in chosen]
        _refuse_twice(chosen, source)
        refuse_same_names(self.items)
        self.items.sort(key=lambda item: (SPLITS.index(item.split), item.label, item.name))

    def load(self, item: Item) -> Shape:
        if not (self.root / item.file).is_file():
            raise MeshError("listed, but the file is missing")
        return super().load(item)  # type: ignore[safe-super]  # of a mesh or a cloud

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--source", type=Path, required=True, help="the list, CSV or JSON: path, label, split, name")
        add("--root", type=Path, help="folder that its paths are relative to (the one it lies in)")
        add("--test-fraction", type=float, help="share drawn as test, of a list without splits (0)")
        add(
            "--unlabelled",
            nargs="?",
            const="bare",
            default=False,
            choices=["all"],
            help="take the rows without a label, or `all`, as one class, to train on without labels",
        )


@SOURCES.register_module(name="mesh-list")
class MeshList(FileList, MeshFolder):
    """A list of meshes with their labels, CSV or JSON; its columns are path, label, split, name.

    Args: As ``FileList.read``.
    """

    def __init__(
        self,
        source: Path,
        root: Path | None = None,
        test_fraction: float | None = None,
        seed: int = 0,
        unlabelled: str | bool = False,
    ) -> None:
        self.read(source, root, test_fraction, seed, unlabelled)


@SOURCES.register_module(name="cloud-list")
class CloudList(FileList, CloudFolder):
    """A list of point clouds with their labels, CSV or JSON; its columns are path, label, split, name.

    Args: As ``FileList.read``, and as ``CloudFolder`` from ``columns`` on.
    """

    def __init__(
        self,
        source: Path,
        root: Path | None = None,
        test_fraction: float | None = None,
        seed: int = 0,
        unlabelled: str | bool = False,
        columns: str | None = None,
        separator: str | None = None,
        part_column: str | None = None,
        without: Sequence[str] | None = None,
    ) -> None:
        self.read(source, root, test_fraction, seed, unlabelled)
        self.find_columns(columns, separator, part_column, without, parts=not unlabelled)

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        FileList.add_arguments(parser)
        CloudFolder.add_columns(parser)


def read_rows(source: Path) -> list[Row]:
    """Read a list.

    Raises:
        SourceError: It is none, or a row is wrong.
    """
    try:
        if source.suffix.lower() == ".json":
            found = json.loads(source.read_text("utf-8-sig"))
        else:
            with open(source, encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file, strict=True, skipinitialspace=True)
                reader.fieldnames = _columns(reader.fieldnames or (), source)
                found = list(reader)
    except (ValueError, RecursionError, csv.Error) as error:
        raise SourceError(f"{source} cannot be read: {error}") from None
    if not isinstance(found, list) or not found:
        raise SourceError(f"{source} holds no rows: a list has the columns {', '.join(COLUMNS)}")
    return [_row(values, number, source) for number, values in enumerate(found, 1)]


def _columns(header: Sequence[str], source: Path) -> list[str]:
    """Return the names of the columns, those that are read in lower case."""
    names = [name.strip() for name in header]
    names = [name.lower() if name.lower() in COLUMNS else name for name in names]
    if twice := [name for name in COLUMNS if names.count(name) > 1]:
        raise SourceError(f"{source} has two columns {twice[0]}; rename one of them")
    return names


def _row(values: Any, number: int, source: Path) -> Row:
    where = f"{source}, row {number}"
    if not isinstance(values, Mapping) or not values.get("path"):
        raise SourceError(f"{where} has no path: a list has the columns {', '.join(COLUMNS)}")
    if None in values:
        raise SourceError(f"{where} has more columns than the header names")
    given = {key: values.get(key) for key in COLUMNS}
    if odd := [key for key, value in given.items() if not isinstance(value, str | int | None)]:
        raise SourceError(f"{where}: its {odd[0]} is {given[odd[0]]!r}, which is not text")
    path, label, split, name = ("" if value is None else str(value).strip() for value in given.values())
    if not _is_text(f"{path}{label}{name}"):
        raise SourceError(
            f"{where}: {path!r} holds a character, here or in its label or name, that is not text"
        )
    inner = PurePosixPath(path)
    if inner.is_absolute() or ".." in inner.parts:
        raise SourceError(
            f"{where}: {path} leaves the folder of the list; write paths from a folder that holds all files, "
            "without .., and name it by --root"
        )
    split = split or "train"
    if split not in SPLITS:
        raise SourceError(f"{where}: the split is {split!r}; there are {', '.join(SPLITS)}")
    return Row(inner.as_posix(), label, split, name or inner.with_suffix("").as_posix())


def _refuse_twice(rows: list[Row], source: Path) -> None:
    """Refuse a file that is listed again: for another split, as another class, or just the same."""
    seen: dict[str, Row] = {}
    for row in rows:
        before = seen.setdefault(row.path, row)
        if before.split != row.split:
            where = f"for {before.split} and for {row.split}"
        elif before.label != row.label:
            where = f"as {before.label} and as {row.label}"
        elif before is not row and before.name == row.name:
            where = f"twice in {row.split}"
        else:
            continue
        raise SourceError(f"{source} lists {row.path} {where}; take one of the rows out")


def _is_text(text: str) -> bool:
    """Whether it holds no control characters and no halves of characters."""
    return text.isprintable() or all(unicodedata.category(letter) not in ("Cc", "Cs") for letter in text)


def _drawn(rows: list[Row], fraction: float, seed: int, source: Path) -> list[Row]:
    """Draw the test shapes of each class."""
    if not 0 <= fraction < 1:
        raise SourceError(f"--test-fraction is {fraction}, must be at least 0 and less than 1")
    if any(row.split != "train" for row in rows):
        raise SourceError(f"{source} has splits: leave out --test-fraction")
    of_classes: dict[str, list[Row]] = {}
    for row in rows:
        of_classes.setdefault(row.label, []).append(row)
    return [
        own[place]._replace(split=split)
        for label, own in of_classes.items()
        for place, (split, _) in enumerate(
            drawn_split([("", Path(row.path)) for row in own], label, fraction, seed)
        )
    ]
