"""The rows of several memory maps behind one another, read as those of one."""

import bisect
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pointmcd.datasets.images import Images
from pointmcd.folders import DamagedError


class _Concatenated:
    """Parts of known lengths, each opened when a row of it is first read.

    Args:
        lengths: Rows of each.
        openers: Return them.
    """

    def __init__(self, lengths: Sequence[int], openers: Sequence[Callable[[], Any]]) -> None:
        self._first = [0, *itertools.accumulate(lengths)]
        self._openers = list(openers)
        self._opened: list[Any] = [None] * len(self._openers)

    def __len__(self) -> int:
        return self._first[-1]

    def _part(self, number: int) -> Any:
        if self._opened[number] is None:
            self._opened[number] = self._open(number)
        return self._opened[number]

    def _open(self, number: int) -> Any:
        return self._openers[number]()

    def _place(self, row: int) -> tuple[Any, int]:
        """Return the part that a row is in, and its row there."""
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        row %= len(self)
        number = bisect.bisect_right(self._first, row) - 1
        return self._part(number), row - self._first[number]


class ConcatenatedArray(_Concatenated):
    """Arrays (S_i, ...) as one of (sum of S_i, ...).

    A row, ``array[3]`` or ``array[3, :1024]``, is a view into its part; more rows are copied. As a whole it
    is copied by ``np.asarray``. The first is opened at once, each of the others when a row of it is read.

    Args:
        lengths: S_i.
        openers: Return the arrays, of one type and equal but for the first axis.
    """

    def __init__(self, lengths: Sequence[int], openers: Sequence[Callable[[], np.ndarray]]) -> None:
        super().__init__(lengths, openers)
        first = self._opened[0] = openers[0]()
        self.dtype = first.dtype
        self.shape = (len(self), *first.shape[1:])

    def _open(self, number: int) -> np.ndarray:
        part = super()._open(number)
        if (part.dtype, part.shape[1:]) != (self.dtype, self.shape[1:]):
            raise DamagedError(f"the shards hold arrays of several types, {self.dtype} and {part.dtype}")
        return part

    def __getitem__(self, key: Any) -> np.ndarray:
        first, *rest = key if isinstance(key, tuple) else (key,)
        if isinstance(first, int | np.integer):
            part, row = self._place(int(first))
            return part[(row, *rest)]
        rows = np.arange(len(self))[first]
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for place, row in enumerate(rows):
            found[place] = self[row]
        return found[(slice(None), *rest)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = np.concatenate([self._part(number) for number in range(len(self._openers))])
        return whole.astype(dtype or self.dtype, copy=False)


class ConcatenatedImages(_Concatenated):
    """``Images`` of several splits as those of one.

    Args:
        lengths: Shapes of each.
        openers: Return the ``Images``, of as many views a shape.
        num_views: V, how many these are.
    """

    def __init__(
        self, lengths: Sequence[int], openers: Sequence[Callable[[], Images]], num_views: int
    ) -> None:
        super().__init__(lengths, openers)
        self.num_views = num_views

    def encoded(self, shape: int, view: int) -> np.ndarray:
        """Do as ``Images.encoded``."""
        part, row = self._place(shape)
        return part.encoded(row, view)

    def read(self, shape: int, view: int) -> np.ndarray:
        """Do as ``Images.read``."""
        part, row = self._place(shape)
        return part.read(row, view)
