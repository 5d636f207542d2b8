"""What every reader of meshes gives."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class MeshError(ValueError):
    """The shape cannot be used; the text is the reason."""


class Content(NamedTuple):
    """The polygons of a mesh file, in their order.

    Attributes:
        vertices: (P, 3).
        corners: (C,), the vertices of all polygons, one polygon after the other.
        counts: (F,), how many of the corners each polygon has.
        up: The axis that the format itself says is up, or None where it says nothing.
    """

    vertices: NDArray[np.float64]
    corners: NDArray[np.int64]
    counts: NDArray[np.int64]
    up: str | None = None


def triangles(vertices: NDArray[np.floating], faces: NDArray[np.integer], up: str | None = None) -> Content:
    """Return the content of a file of triangles (F, 3)."""
    corners = np.asarray(faces, dtype=np.int64).reshape(-1)
    return Content(
        np.asarray(vertices, dtype=np.float64).reshape(-1, 3), corners, np.full(len(corners) // 3, 3), up
    )


def ragged(starts: NDArray[np.integer], counts: NDArray[np.integer], step: int = 1) -> NDArray[np.int64]:
    """Return indices ``starts[i] + step * k`` for every k below ``counts[i]``, one i after the other."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - step * before, counts) + step * np.arange(int(np.sum(counts)))
