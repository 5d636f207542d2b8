"""Lists of scenes: what their lines say, and that no frame is listed twice."""

from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from typing import NamedTuple

from pointmcd.datasets.preparation.sources import SourceError


class ScenePart(NamedTuple):
    """A scene, or the frames of it whose numbers are in a range."""

    name: str
    first: int | None = None
    last: int | None = None

    @classmethod
    def parse(cls, text: str) -> "ScenePart":
        """Read a line of a list: ``NAME``, or ``NAME FIRST LAST``.

        Raises:
            SourceError: It is neither.
        """
        name, *numbers = text.split() or [""]
        if not name or len(numbers) not in (0, 2) or not all(word.isdecimal() for word in numbers):
            raise SourceError(f"{text!r} is not a scene: a line is NAME, or NAME FIRST LAST (frame numbers)")
        return cls(name, *map(int, numbers))

    def __str__(self) -> str:
        return self.name if self.first is None else f"{self.name} {self.first} {self.last}"

    def shares(self, other: "ScenePart") -> bool:
        """Return whether a frame can be of both."""
        (low, high), (other_low, other_high) = self._range(), other._range()
        return self.name == other.name and low <= other_high and other_low <= high

    def _range(self) -> tuple[float, float]:
        return (-inf, inf) if self.first is None or self.last is None else (self.first, self.last)


def read_list(path: Path) -> list[str]:
    """Return the scenes that a file lists, one a line (`ScenePart.parse`).

    Raises:
        SourceError: It is not text in UTF-8.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{path} is not a list of scenes in UTF-8 (byte {error.start} is not); save it as UTF-8"
        ) from None
    return [line.strip() for line in lines if line.strip()]


def check_scenes(splits: Mapping[str, Sequence[ScenePart]]) -> None:
    """Refuse names that are no folders within a source, and frames that are listed twice.

    A frame in two splits would be trained on and tested; twice in one, it would count twice.

    Args:
        splits: The scenes of each split.

    Raises:
        SourceError: The text names the scene and the splits.
    """
    listed: dict[str, list[tuple[str, ScenePart]]] = {}
    for split, parts in splits.items():
        for part in parts:
            if any(word in ("", "..") or word.startswith(".") for word in part.name.split("/")):
                raise SourceError(f"a scene is {part.name!r}; it needs the name of a folder in the source")
            for where, before in listed.setdefault(part.name, []):
                if part.shares(before):
                    raise SourceError(
                        f"{where} lists {str(before)!r} and {split} {str(part)!r}: the same frames twice; "
                        "take one of them out"
                    )
            listed[part.name].append((split, part))
