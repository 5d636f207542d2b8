"""Clouds of points: reading them, and telling what is none."""

import io
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pointmcd.geometry.formats import MeshError
from pointmcd.geometry.formats.columns import (
    AXES,
    COLOR,
    NORMAL,
    PART,
    Columns,
    checked_names,
    columns_of_table,
    usual_name,
)
from pointmcd.geometry.formats.ply import ply_has_faces, read_ply_points
from pointmcd.geometry.formats.point_text import SEPARATORS, check_table, read_point_text
from pointmcd.geometry.formats.point_text import SUFFIXES as TEXT_SUFFIXES
from pointmcd.geometry.formats.scans import read_las, read_pcd
from pointmcd.geometry.mesh import read_file

CLOUD_SUFFIXES = (".npy", ".npz", *TEXT_SUFFIXES, ".pcd", ".las", ".laz", ".ply")
EXTRAS = ("normals", "colors", "parts")
"""What a cloud may have beside its points."""
_ARRAYS = {"normals": NORMAL, "colors": COLOR}


class Cloud(NamedTuple):
    """A cloud as a file holds it.

    Attributes:
        points: (N, 3) float64, finite, not all the same.
        normals: (N, 3) float32 of length 1 (0 where the file has zeros), or None.
        colors: (N, 3) float32 in [0, 1], or None.
        parts: (N,) int64, none negative, or None.
        columns: The names of the file's columns; ``-`` and names that are none of these were not read.
    """

    points: NDArray[np.float64]
    normals: NDArray[np.float32] | None = None
    colors: NDArray[np.float32] | None = None
    parts: NDArray[np.int64] | None = None
    columns: tuple[str, ...] = AXES


class CloudColumns(NamedTuple):
    """How the columns of clouds are told apart; by default they are found.

    Attributes:
        names: Of the columns of arrays and text, such as ``x y z nx ny nz part``; ``-`` is not read.
        separator: Between the numbers of text: ``comma``, ``semicolon``, ``tab`` or ``space``.
        part: Name of the column that holds the parts; None: ``part``, ``label`` and the like.
    """

    names: tuple[str, ...] | None = None
    separator: str | None = None
    part: str | None = None

    @classmethod
    def of(
        cls, names: Sequence[str] | str | None, separator: str | None = None, part: str | None = None
    ) -> "CloudColumns":
        """Check what a user gives; names may be one text.

        Raises:
            ValueError: There is no such separator, or the names lack x, y or z or have one twice.
        """
        if separator is not None and separator not in SEPARATORS:
            raise ValueError(f"the separator is {separator!r}, must be {', '.join(SEPARATORS)}")
        words = names.replace(",", " ").split() if isinstance(names, str) else names
        chosen = None if words is None else tuple(checked_names(words))
        part = None if part is None else usual_name(part)
        if chosen is not None and part not in (None, *chosen):
            raise ValueError(f"the columns {' '.join(chosen)} have no {part}, which should hold the parts")
        return cls(chosen, separator, part)


FOUND = CloudColumns()


def load_cloud(path: Path, columns: CloudColumns = FOUND, wanted: Collection[str] = EXTRAS) -> Cloud:
    """Read one cloud: NPY, NPZ, PLY, PCD, LAS, LAZ or text.

    Text has a point a line, separated by blanks, commas or semicolons. Lines that begin with ``#`` or ``//``
    are comments; a first line of names and a first line that counts the points may be there. Columns are
    found by their names; where there are none, the first three are x, y, z, and the others are what
    ``guessed_names`` says. NPZ holds one array, or ``points`` and, where they are there, ``normals``,
    ``colors`` and ``parts``. PCD and LAS need the packages of the extra ``clouds``.

    Args:
        path: The file.
        columns: How to tell its columns apart.
        wanted: What is taken beside the points, where it is there; what is not wanted may be damaged.

    Raises:
        MeshError: The file is unreadable, or holds no cloud; the text is the reason.
    """
    data = read_file(path)
    if not data.strip():
        raise MeshError("the file is empty")
    try:
        return _cloud(_columns(data, path.suffix.lower(), columns), columns.part, wanted)
    except MeshError:
        raise
    # Whatever else a damaged file makes a reader stumble over is the file's fault as well.
    except Exception as error:
        raise MeshError(str(error)) from error


def is_cloud(path: Path) -> bool:
    """Return whether a file is PLY whose header announces no face."""
    return path.suffix.lower() == ".ply" and not ply_has_faces(read_file(path))


def check_cloud(cloud: NDArray) -> NDArray:
    """Return what is a cloud of points as it is.

    Args:
        cloud: (N, 3 or more columns) numbers, N at least the number of columns, x, y, z first and finite.

    Raises:
        MeshError: It is something else; the text says what.
    """
    check_table(cloud)
    if len(cloud) == 0:
        raise MeshError("the cloud has no points")
    bad = ~np.isfinite(cloud[:, :3]).all(axis=1)
    if bad.any():
        raise MeshError(
            f"{bad.sum()} of {len(cloud)} rows are not finite, row {bad.argmax()} first (from 0); "
            "leave them out: cloud[np.isfinite(cloud).all(1)]"
        )
    if (cloud[:, :3] == cloud[0, :3]).all():
        raise MeshError(f"a single point, {len(cloud)} times" if len(cloud) > 1 else "a single point")
    return cloud


def unit_normals(normals: NDArray) -> NDArray[np.float32]:
    """Return normals (N, 3) at length 1; zeros stay.

    Raises:
        MeshError: They are not (N, 3) finite numbers.
    """
    bad = ~np.isfinite(normals).all(axis=1)
    if bad.any():
        raise MeshError(f"{bad.sum()} of {len(normals)} normals are not finite")
    normals = normals.astype(np.float64)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.divide(normals, length, out=np.zeros_like(normals), where=length > 0).astype(np.float32)


def unit_colors(colors: NDArray) -> NDArray[np.float32]:
    """Return colours (N, 3) in [0, 1], of bytes, of 16 bits (LAS) or of fractions.

    Raises:
        MeshError: They are none of these.
    """
    most = float(colors.max())
    scale = 1.0 if colors.dtype.kind == "f" and most <= 1 else 255.0 if most <= 255 else 65535.0
    if not (np.isfinite(colors).all() and colors.min() >= 0 and most <= scale):
        raise MeshError(f"its colours are {colors.min():g} to {most:g}; they need 0..1, 0..255 or 0..65535")
    return (colors / scale).astype(np.float32)


def _columns(data: bytes, suffix: str, asked: CloudColumns) -> Columns:
    if suffix == ".ply":
        return read_ply_points(data)
    if suffix == ".pcd":
        return read_pcd(data)
    if suffix in (".las", ".laz"):
        return read_las(data)
    if suffix in TEXT_SUFFIXES:
        return read_point_text(data, suffix, asked.names, asked.separator)
    array = np.load(io.BytesIO(data), allow_pickle=False)
    more = Columns([], [])
    if suffix == ".npz":
        name = array.files[0] if len(array.files) == 1 else "points"
        if name not in array.files:
            raise MeshError(f"it holds no array points; it has {', '.join(array.files)}")
        more, array = _further(array, asked.part), array[name]
    first = columns_of_table(check_table(array), suffix, asked.names)
    kept = [place for place, name in enumerate(first.names) if name not in more.names]
    return Columns(
        [*(first.names[place] for place in kept), *more.names],
        [*(first.values[place] for place in kept), *more.values],
    )


def _further(arrays: "np.lib.npyio.NpzFile", part: str | None) -> Columns:
    """Return the columns of the arrays that lie beside ``points``."""
    names: list[str] = []
    values: list[NDArray] = []
    for key in arrays.files if len(arrays.files) > 1 else ():
        name = usual_name(key)
        if name in _ARRAYS and arrays[key].ndim == 2 and arrays[key].shape[1] == 3:
            names += _ARRAYS[name]
            values += list(arrays[key].T)
        elif (name in PART or name == part) and arrays[key].size == len(arrays["points"]):
            names.append(name)
            values.append(arrays[key].reshape(-1))
    return Columns(names, values)


def _cloud(columns: Columns, part: str | None, wanted: Collection[str]) -> Cloud:
    points = columns.stacked(AXES)
    if points is None:
        raise MeshError(f"it has no x, y and z; its columns are {' '.join(columns.names)}")
    points = check_cloud(points).astype(np.float64)
    normals = columns.stacked(NORMAL) if "normals" in wanted else None
    colors = columns.stacked(COLOR) if "colors" in wanted else None
    if any(len(values) != len(points) for values in columns.values):
        raise MeshError(f"it has {len(points)} points, and arrays of other lengths")
    return Cloud(
        points,
        None if normals is None else unit_normals(normals),
        None if colors is None else unit_colors(colors),
        _parts(columns, part) if "parts" in wanted else None,
        tuple(columns.names),
    )


def _parts(columns: Columns, asked: str | None) -> NDArray[np.int64] | None:
    if asked is not None and asked not in columns.names:
        raise MeshError(
            f"it has no column {asked}, which should hold the parts; it has {' '.join(columns.names)}"
        )
    names = PART if asked is None else (asked,)
    name = next((name for name in names if name in columns.names), None)
    if name is None:
        return None
    values = columns.values[columns.names.index(name)]
    return whole_parts(values)


def whole_parts(values: NDArray) -> NDArray[np.int64]:
    """Return parts (N,) as integers, none negative.

    Raises:
        MeshError: They are not.
    """
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.int64)
    if (whole != values).any():
        raise MeshError(f"the part {values[whole != values][0]:g} is not a whole number")
    if (whole < 0).any():
        raise MeshError(
            f"it has the part {whole.min()} at {(whole < 0).sum()} of {len(whole)} points; parts start at 0"
        )
    return whole
