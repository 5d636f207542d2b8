"""The rows of several memory maps behind one another, read as those of one."""

import bisect
import itertools
from collections.abc import Sequence, Sized
from typing import Any

import numpy as np

from pointmcd.datasets.images import Images
from pointmcd.folders import DamagedError


class _Places:
    """Which part each row is in."""

    def __init__(self, parts: Sequence[Sized]) -> None:
        self._first = [0, *itertools.accumulate(map(len, parts))]
        self.total = self._first[-1]

    def of(self, row: int) -> tuple[int, int]:
        """Return the part of a row, and its row there."""
        if not -self.total <= row < self.total:
            raise IndexError(f"row {row} of {self.total}")
        row %= self.total
        part = bisect.bisect_right(self._first, row) - 1
        return part, row - self._first[part]


class ConcatenatedArray:
    """Arrays (S_i, ...) as one of (sum of S_i, ...).

    A row, ``array[3]`` or ``array[3, :1024]``, is a view into its part; more rows are copied. As a whole it
    is copied by ``np.asarray``.

    Args:
        parts: of one type, equal but for the first axis.
    """

    def __init__(self, parts: Sequence[np.ndarray]) -> None:
        self._parts = list(parts)
        self._places = _Places(parts)
        if len({(part.dtype, part.shape[1:]) for part in parts}) > 1:
            raise DamagedError("the shards hold arrays of several types")
        self.dtype = parts[0].dtype
        self.shape = (self._places.total, *parts[0].shape[1:])

    def __len__(self) -> int:
        return self._places.total

    def __getitem__(self, key: Any) -> np.ndarray:
        first, *rest = key if isinstance(key, tuple) else (key,)
        if isinstance(first, int | np.integer):
            part, row = self._places.of(int(first))
            return self._parts[part][(row, *rest)]
        rows = np.arange(len(self))[first]
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for place, row in enumerate(rows):
            found[place] = self[row]
        return found[(slice(None), *rest)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.concatenate(self._parts).astype(dtype or self.dtype, copy=False)


class ConcatenatedImages:
    """``Images`` of several splits as those of one.

    Args:
        parts: of as many views a shape.
    """

    def __init__(self, parts: Sequence[Images]) -> None:
        self._parts, self._places = list(parts), _Places(parts)
        self.num_views = parts[0].num_views

    def encoded(self, shape: int, view: int) -> np.ndarray:
        """As ``Images.encoded``."""
        part, row = self._places.of(shape)
        return self._parts[part].encoded(row, view)

    def read(self, shape: int, view: int) -> np.ndarray:
        """As ``Images.read``."""
        part, row = self._places.of(shape)
        return self._parts[part].read(row, view)


def concatenated(what: str, parts: Sequence[Any]) -> ConcatenatedArray | ConcatenatedImages | None:
    """Return arrays or ``Images`` as one; None where all of them are None.

    Raises:
        DamagedError: some are None, or other arrays than the first.
    """
    if all(part is None for part in parts):
        return None
    if any(part is None for part in parts):
        raise DamagedError(f"some of the shards have {what}, and others have none")
    return ConcatenatedImages(parts) if isinstance(parts[0], Images) else ConcatenatedArray(parts)
