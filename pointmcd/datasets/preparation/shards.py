"""Sets in shards: each is a prepared set of its own in ``<root>/shards/NNNN``, made by a job of its own.

Making one shard needs nothing of the others, so any may be made again alone; ``merge.py`` joins them.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pointmcd.datasets.manifest import SHARDS, shard_name
from pointmcd.datasets.preparation.sources.base import Item, SourceError


@dataclass(frozen=True)
class Shard:
    """One of so many shards of a set.

    Attributes:
        number: From 1.
        count: How many there are.
        command: What was typed to make it, but for which of the shards it is; for messages.
    """

    number: int
    count: int
    command: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            numbered = f": they are numbered from 1 to {self.count}" if self.count else ""
            raise ValueError(f"there is no shard {self}{numbered}; the third of eight is 3/8")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @classmethod
    def of(cls, text: str, command: str | None = None) -> "Shard":
        """Return the shard that is written as ``3/8``.

        Raises:
            ValueError: It is not, or there is no such shard.
        """
        number, _, count = text.partition("/")
        if not (number.isdecimal() and count.isdecimal()):
            raise ValueError(f"{text!r} is not a shard; the third of eight is 3/8")
        return cls(int(number), int(count), command)

    def folder(self, root: Path) -> Path:
        """Return where it lies in the set."""
        return root / SHARDS / shard_name(self.number)

    def rows(self, total: int) -> range:
        """Return which shapes of a split are in it; all shards, in order, have all of them in order."""
        return range(total * (self.number - 1) // self.count, total * self.number // self.count)

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Return its share of each split of a source.

        Raises:
            SourceError: It has none; that would be said by each of the shards that are too many.
        """
        splits: dict[str, list[Item]] = {}
        for item in items:
            splits.setdefault(item.split, []).append(item)
        share = [own[row] for own in splits.values() for row in self.rows(len(own))]
        if not share:
            raise SourceError(f"shard {self} is empty: the source has {len(items)} shapes; make fewer shards")
        return share

    def record(self, items: Sequence[Item]) -> dict[str, Any]:
        """Return what its manifest says of it and of the whole source, which is the same for all shards."""
        listing = hashlib.sha256()
        for item in items:
            listing.update(repr((item.split, item.name, item.label)).encode("utf-8", "surrogateescape"))
        return {
            "number": self.number,
            "count": self.count,
            "source_shapes": dict(Counter(item.split for item in items)),
            "source_sha256": listing.hexdigest(),
        }
