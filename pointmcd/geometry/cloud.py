"""Clouds of points: reading them, and telling what is none."""

import io
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .formats import MeshError
from .formats.ply import ply_has_faces, read_ply
from .formats.text import plain_text
from .mesh import read_file

TEXT_SUFFIXES = (".xyz", ".txt", ".pts", ".csv")
CLOUD_SUFFIXES = (".npy", ".npz", *TEXT_SUFFIXES, ".ply")

_COMMENT = ("#", "//")
_SEPARATORS = re.compile(r"[\s,;]+")
_AXES = ["x", "y", "z"]


def load_cloud(path: Path) -> NDArray:
    """Read one cloud: NPY, NPZ, PLY or text.

    Text has a point a line, separated by blanks, commas or semicolons. Lines that begin with ``#`` or ``//``
    are comments; a first line of names and a first line that counts the points may be there. Where a line
    names the columns, x, y and z are found by their names; else they are the first three. NPZ holds one
    array, or one called ``points``.

    Returns:
        (N, 3 or more columns), x, y, z first.

    Raises:
        MeshError: The file is unreadable, or `check_cloud` refuses what it holds.
    """
    data = read_file(path)
    if not data.strip():
        raise MeshError("the file is empty")
    suffix = path.suffix.lower()
    try:
        if suffix == ".ply":
            return check_cloud(read_ply(data).vertices)
        if suffix in TEXT_SUFFIXES:
            return check_cloud(_read_text(data))
        array = np.load(io.BytesIO(data), allow_pickle=False)
        if suffix == ".npz":
            name = array.files[0] if len(array.files) == 1 else "points"
            if name not in array.files:
                raise MeshError(f"it holds no array points; it has {', '.join(array.files)}")
            array = array[name]
    except MeshError:
        raise
    # Whatever else a damaged file makes a reader stumble over is the file's fault as well.
    except Exception as error:
        raise MeshError(str(error)) from error
    return check_cloud(array)


def is_cloud(path: Path) -> bool:
    """Whether a file is PLY whose header announces no face."""
    return path.suffix.lower() == ".ply" and not ply_has_faces(read_file(path))


def check_cloud(cloud: NDArray) -> NDArray:
    """Return what is a cloud of points as it is.

    Args:
        cloud: (N, 3 or more columns) numbers, N at least the number of columns, x, y, z first and finite.

    Raises:
        MeshError: It is something else; the text says what.
    """
    if cloud.dtype.kind not in "iuf" or cloud.ndim != 2 or cloud.shape[1] < 3:
        raise MeshError(
            f"a cloud has the shape (N, 3) or more columns, of numbers, not {cloud.shape} of {cloud.dtype}"
        )
    if 3 <= len(cloud) < cloud.shape[1]:
        raise MeshError(
            f"a cloud has a row for each point, x, y, z first: {cloud.shape} looks like its transpose"
        )
    if len(cloud) == 0:
        raise MeshError("a cloud of no points")
    bad = ~np.isfinite(cloud[:, :3]).all(axis=1)
    if bad.any():
        raise MeshError(
            f"{bad.sum()} of {len(cloud)} rows are not finite, row {bad.argmax()} first (from 0); "
            "leave them out: cloud[np.isfinite(cloud).all(1)]"
        )
    if (cloud[:, :3] == cloud[0, :3]).all():
        raise MeshError(f"a single point, {len(cloud)} times" if len(cloud) > 1 else "a single point")
    return cloud


def _read_text(data: bytes) -> NDArray[np.float64]:
    """(N, columns), x, y, z first where their names say where they are."""
    # What is read is ASCII; names and comments may be in any encoding.
    text = plain_text(data).decode("latin-1").split("\n")
    lines = [(number, line.strip()) for number, line in enumerate(text, 1) if line.strip()]
    heads = [line for _, line in lines if line.startswith(_COMMENT)]
    rows = [(number, line) for number, line in lines if not line.startswith(_COMMENT)]
    # The line of names and the count may have other separators than the points.
    if rows and not any(_is_number(word) for word in _SEPARATORS.split(rows[0][1])):
        heads.append(rows.pop(0)[1])
    elif len(rows) > 1 and rows[0][1].isdigit():
        count = int(rows.pop(0)[1])
        if count != len(rows):
            raise MeshError(f"its first line promises {count} points, {len(rows)} lines follow")
    if not rows:
        raise MeshError("the file is empty but for its head")
    separator = next((mark for mark in ";," if mark in rows[0][1]), None)
    cloud = _table(rows, separator)
    names = [[word.lower() for word in _SEPARATORS.split(head.lstrip("#/ ")) if word] for head in heads]
    for found in names:
        if len(found) == cloud.shape[1] and set(_AXES) <= set(found):
            axes = [found.index(axis) for axis in _AXES]
            return cloud[:, axes + [column for column in range(len(found)) if column not in axes]]
    first = cloud[:, 0]
    if len(first) > 3 < cloud.shape[1] and (first - first[0] == np.arange(len(first))).all():
        raise MeshError("its first column counts the rows; leave it out, or name the columns in a first line")
    return cloud


def _table(rows: list[tuple[int, str]], separator: str | None) -> NDArray[np.float64]:
    """(N, columns) numbers of numbered lines."""
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
                    raise MeshError(f"line {number}: {word.strip()!r} is no number{hint}") from None
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
