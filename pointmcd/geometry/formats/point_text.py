"""Clouds in text: XYZ, TXT, PTS, CSV."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pointmcd.geometry.formats.columns import AXES, Columns, columns_of_table, usual_name
from pointmcd.geometry.formats.content import MeshError
from pointmcd.geometry.formats.text import plain_text

SUFFIXES = (".xyz", ".txt", ".pts", ".csv")
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "space": None}
"""By the names that an option has for them; blanks of any number are one ``space``."""

_COMMENT = ("#", "//")
_BETWEEN = re.compile(r"[\s,;]+")


def read_point_text(
    data: bytes, suffix: str, names: Sequence[str] | None = None, separator: str | None = None
) -> Columns:
    """Read the points of a text, one a line, separated by blanks, commas or semicolons.

    Lines that begin with ``#`` or ``//`` are comments; a first line of names and a first line that counts the
    points may be there. Where a line names the columns these are their names.

    Args:
        data: The whole file.
        suffix: One of ``SUFFIXES``.
        names: Of the columns, whatever the file says.
        separator: One of ``SEPARATORS``; None looks at the first line.
    """
    # What is read is ASCII; names and comments may be in any encoding.
    text = plain_text(data).decode("latin-1").split("\n")
    lines = [(number, line.strip()) for number, line in enumerate(text, 1) if line.strip()]
    heads = [line for _, line in lines if line.startswith(_COMMENT)]
    rows = [(number, line) for number, line in lines if not line.startswith(_COMMENT)]
    # The line of names and the count may have other separators than the points.
    if rows and not any(_is_number(word) for word in _BETWEEN.split(rows[0][1])):
        heads.append(rows.pop(0)[1])
    elif len(rows) > 1 and rows[0][1].isdigit():
        count = int(rows.pop(0)[1])
        if count != len(rows):
            raise MeshError(f"its first line promises {count} points, {len(rows)} lines follow")
    if not rows:
        raise MeshError("the file is empty except for its header")
    mark = next((mark for mark in ";," if mark in rows[0][1]), None)
    cloud = _table(rows, mark if separator is None else SEPARATORS[separator])
    if names is None:
        for head in heads:
            found = [usual_name(word) for word in _BETWEEN.split(head.lstrip("#/ ")) if word]
            if len(found) == cloud.shape[1] and set(AXES) <= set(found):
                return Columns(found, list(cloud.T))
        first = cloud[:, 0]
        if len(first) > 3 < cloud.shape[1] and (first - first[0] == np.arange(len(first))).all():
            raise MeshError(
                "its first column counts the rows; leave it out, or name the columns in a first line"
            )
    return columns_of_table(check_table(cloud), suffix, names)


def check_table(table: NDArray) -> NDArray:
    """Return an array of points as it is.

    Raises:
        MeshError: It does not look like (N, C) numbers, x, y, z first; the text says what it is.
    """
    if table.dtype.kind not in "iuf" or table.ndim != 2 or table.shape[1] < 3:
        raise MeshError(
            f"a cloud has the shape (N, 3) or more columns, of numbers, not {table.shape} of {table.dtype}"
        )
    if 3 <= len(table) < table.shape[1]:
        raise MeshError(
            f"a cloud has a row for each point, x, y, z first: {table.shape} looks like its transpose"
        )
    return table


def _table(rows: list[tuple[int, str]], separator: str | None) -> NDArray[np.float64]:
    """Return (N, columns) numbers of numbered lines."""
    lines = [line.rstrip(f"{separator} ") if separator else line for _, line in rows]
    try:
        return np.loadtxt(lines, delimiter=separator, ndmin=2)
    except ValueError:
        columns = len(lines[0].split(separator))
        for (number, _), line in zip(rows, lines, strict=True):
            words = line.split(separator)
            for word in words:
                if not _is_number(word):
                    hint = "; decimals have a point" if "," in word else ""
                    raise MeshError(f"line {number}: {word.strip()!r} is not a number{hint}") from None
            if len(words) != columns:
                message = f"line {number} has {len(words)} columns, those before have {columns}"
                raise MeshError(message) from None
        raise


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
