"""What every reader of clouds gives, columns with names, and what columns without names are likely to be."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pointmcd.geometry.formats.content import MeshError

AXES = ("x", "y", "z")
NORMAL = ("nx", "ny", "nz")
COLOR = ("red", "green", "blue")
PART = ("part", "parts", "part_id", "label", "labels", "seg", "segment")
"""Names of the column that holds each point's part, unless another is asked for."""
UNREAD = "-"

_OTHER_NAMES = {
    **{f"normal{mark}{axis}": f"n{axis}" for mark in ("_", "") for axis in AXES},
    **{f"{prefix}{color[0]}": color for color in COLOR for prefix in ("", "color_")},
    **{f"diffuse_{color}": color for color in COLOR},
}
_UNIT = 0.02  # how far the length of a normal may be from 1


class Columns(NamedTuple):
    """The columns of a cloud.

    Attributes:
        names: C names in plain letters, ``x y z`` among them; ``-`` for what is not known.
        values: C arrays (N,).
        found: The file names its columns; else they are guessed.
    """

    names: list[str]
    values: list[NDArray]
    found: bool = True

    def stacked(self, names: Sequence[str]) -> NDArray | None:
        """Return (N, len(names)) of the columns of these names; None where one is missing."""
        if not set(names) <= set(self.names):
            return None
        return np.stack([self.values[self.names.index(name)] for name in names], axis=1)


def usual_name(name: str) -> str:
    """Return a column's name as pointmcd knows it: ``scalar_Label`` is a ``label``, ``R`` is ``red``."""
    name = name.strip().lower().removeprefix("scalar_")
    return _OTHER_NAMES.get(name, name)


def guessed_names(table: NDArray, suffix: str) -> list[str]:
    """Guess the names of a table's columns: x, y, z first, then what their values show.

    Three columns that are unit vectors are normals, three that are whole and within 0..255 colours; PTS may
    have an intensity before its colours; a whole number behind normals is the part, as in ShapeNetPart. All
    else is not known: a part cannot be told from an intensity.
    """
    count = table.shape[1]
    names = [*AXES, *[UNREAD] * (count - 3)]
    begin = 3
    if suffix == ".pts" and count == 7 and _are_colors(table[:, 4:]):
        begin = 4
    while begin + 3 <= count:
        three = table[:, begin : begin + 3]
        if "nx" not in names and _are_normals(three):
            names[begin : begin + 3] = NORMAL
        elif "red" not in names and _are_colors(three):
            names[begin : begin + 3] = COLOR
        else:
            break
        begin += 3
    if begin == count - 1 and names[begin - 1] == "nz" and _are_whole(table[:, begin]):
        names[begin] = PART[0]
    return names


def checked_names(names: Sequence[str]) -> list[str]:
    """Return the names of columns as a user gives them.

    Raises:
        ValueError: x, y or z is not among them, or one is there twice.
    """
    found = [usual_name(name) for name in names]
    if lacking := [axis for axis in AXES if axis not in found]:
        raise ValueError(f"the columns {' '.join(names)} have no {lacking[0]}; they need x, y and z")
    if twice := [name for name in found if name != UNREAD and found.count(name) > 1]:
        raise ValueError(f"the columns {' '.join(names)} have {twice[0]} twice; {UNREAD} is not read")
    return found


def columns_of_table(table: NDArray, suffix: str, names: Sequence[str] | None) -> Columns:
    """Return the columns of an array (N, C) or of text: with the names that are given, or guessed."""
    if names is not None and len(names) != table.shape[1]:
        raise MeshError(f"it has {table.shape[1]} columns, and {len(names)} are named: {' '.join(names)}")
    chosen = guessed_names(table, suffix) if names is None else list(names)
    return Columns(chosen, list(table.T), names is not None)


def _are_normals(three: NDArray) -> bool:
    length = np.linalg.norm(three.astype(np.float64), axis=1)
    return bool((np.abs(length[length > 0] - 1) < _UNIT).all() and (length > 0).mean() > 0.5)


def _are_colors(three: NDArray) -> bool:
    return bool(_are_whole(three) and 1 < three.max() <= 255)


def _are_whole(values: NDArray) -> bool:
    with np.errstate(invalid="ignore"):
        return bool(np.isfinite(values).all() and (values >= 0).all() and (values == np.floor(values)).all())
