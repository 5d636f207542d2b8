"""Text files of points: a row for each, with its columns."""

from pathlib import Path

import numpy as np

from pointmcd.geometry.mesh import MeshError


def read_rows(path: Path, columns: str, delimiter: str | None = None) -> np.ndarray:
    """Read one file.

    Args:
        path: The file.
        columns: The names of its columns, separated by blanks.
        delimiter: What separates the numbers; None is white space.

    Returns:
        (N, columns) float32, N > 0, finite.

    Raises:
        MeshError: The file is missing, unreadable, empty or of other columns, or rows are not finite.
    """
    if not path.is_file():
        raise MeshError("listed, but the file is missing")
    try:
        rows = np.loadtxt(path, np.float32, delimiter=delimiter, ndmin=2)
    except (ValueError, OSError) as error:
        raise MeshError(f"unreadable: {error}") from error
    if not rows.size:
        raise MeshError("empty file")
    count = len(columns.split())
    if rows.shape[1] != count:
        raise MeshError(f"{rows.shape[1]} columns instead of {count} ({columns})")
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        raise MeshError(f"{bad.sum()} of {len(rows)} rows are not finite, row {bad.argmax()} first (from 0)")
    return rows
