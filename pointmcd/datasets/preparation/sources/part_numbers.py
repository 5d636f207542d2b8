"""Parts as the files of a source number them, and as a prepared set does."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from pointmcd.datasets.preparation.sources.base import Item, SourceError, number_parts
from pointmcd.datasets.preparation.sources.walk import NAMES_SHOWN, some_of
from pointmcd.geometry.mesh import MeshError

NAMES_FILE = "parts.txt"


class PartNumbers:
    """The parts of each class: their numbers in the files, and the set's own, which all classes share.

    Args:
        parts: For each class, in the order of the labels, its parts' numbers and names.

    Attributes:
        names: Of all parts, ``CLASS-PART``.
        class_parts: For each class, the set's numbers of its parts.
    """

    def __init__(self, parts: Mapping[str, Mapping[int, str]]) -> None:
        ordered = {name: dict(sorted(own.items())) for name, own in parts.items()}
        self.classes = list(ordered)
        self.names, self.class_parts = number_parts({name: own.values() for name, own in ordered.items()})
        self._numbers = [np.array(list(own), dtype=np.int64) for own in ordered.values()]

    @classmethod
    def listed(cls, root: Path, classes: Iterable[str]) -> "PartNumbers | None":
        """Return what ``parts.txt`` beside the classes says; None where there is no such file.

        Each line is ``category number name``; the number is the one in the files of that category.

        Raises:
            SourceError: A line is not so, names a category that is not there or a part twice, or a category
                has no parts.
        """
        path, classes = root / NAMES_FILE, list(classes)
        if not path.is_file():
            return None
        found: dict[str, dict[int, str]] = {name: {} for name in classes}
        try:
            lines = path.read_text("utf-8-sig").splitlines()
        except ValueError as error:
            raise SourceError(f"{path} is not UTF-8: {error}") from None
        for row, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            category, number, name = _words(line, classes)
            if category not in found or not number.isdecimal() or not name:
                raise SourceError(
                    f"{path}, line {row}: {line.strip()!r} is not `category number name` of a category that "
                    f"is there ({some_of(classes)}); take out the lines of others"
                )
            own = found[category]
            if int(number) in own or name in own.values():
                raise SourceError(f"{path}, line {row}: the {category} has that part already")
            own[int(number)] = name
        if bare := [name for name, own in found.items() if not own]:
            raise SourceError(f"{path} names no parts of {some_of(bare)}")
        return cls(found)

    @classmethod
    def found(
        cls, classes: Iterable[str], items: Iterable[Item], read: Callable[[Item], np.ndarray]
    ) -> "PartNumbers":
        """Return what the shapes have, which says so where only test shapes have a part.

        Args:
            classes: Names, in the order of the labels.
            items: All shapes.
            read: Gives the parts of a shape; a ``MeshError`` rejects it later, when it is loaded.
        """
        classes = list(classes)
        found: list[set[int]] = [set() for _ in classes]
        trained: list[set[int]] = [set() for _ in classes]
        for item in items:
            with contextlib.suppress(MeshError):
                parts = np.unique(read(item)).tolist()
                found[item.label].update(parts)
                if item.split != "test":
                    trained[item.label].update(parts)
        untrained = [
            f"{name}-{part}"
            for name, own, seen in zip(classes, found, trained, strict=True)
            for part in sorted(own - seen)
        ]
        if untrained:
            print(
                f"warning: no shape to train on has the parts {', '.join(untrained)}, which test shapes have",
                file=sys.stderr,
            )
        numbered = ({number: str(number) for number in own} for own in found)
        return cls(dict(zip(classes, numbered, strict=True)))

    def of(self, label: int, numbers: np.ndarray) -> np.ndarray:
        """Return the set's parts (N,) of a file's numbers (N,).

        Raises:
            MeshError: The class has no such part.
        """
        known = self._numbers[label]
        strange = np.setdiff1d(numbers, known)
        if len(strange):
            shown = f"{known[0]} to {known[-1]}" if len(known) else "none"
            if len(known) and not np.array_equal(known, np.arange(known[0], known[-1] + 1)):
                shown = ", ".join(map(str, known.tolist()))
            raise MeshError(f"parts {strange[:NAMES_SHOWN].tolist()}; a {self.classes[label]} has {shown}")
        return np.asarray(self.class_parts[label])[np.searchsorted(known, numbers)]


def _words(line: str, classes: Iterable[str]) -> tuple[str, str, str]:
    """Return category, number and name of a line; both names may hold blanks."""
    for category in sorted(classes, key=len, reverse=True):
        if line.startswith(category) and line[len(category) :][:1].isspace():
            number, *name = line[len(category) :].split(None, 1)
            return category, number, "".join(name).strip()
    return "", "", ""
