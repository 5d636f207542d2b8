"""Polygons into triangles."""

import mapbox_earcut
import numpy as np
from numpy.typing import NDArray

# A triangle of a fan that is turned against its polygon by less than this share of the polygon's area is
# rounding error of an edge that lies flat.
_TURNED = 1e-9


def triangulate(
    vertices: NDArray[np.float64], corners: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut polygons into triangles, those of fewest corners first, with the winding of their polygon.

    A polygon is cut into the fan of its first corner where that covers it once, as it does all convex ones;
    else its ears are cut off (``mapbox_earcut``) in the plane of two axes that shows most of it.

    Args:
        vertices: (P, 3), of such a size that products of areas are finite.
        corners: (C,), the vertices of the polygons, one after the other.
        counts: (F,), how many of them each polygon has; below 3 it has no triangles.

    Returns:
        Triangles (T, 3), and (T,) which polygon each is of.
    """
    if (counts == 3).all():
        return corners.reshape(-1, 3), np.arange(len(counts))
    starts = np.cumsum(counts) - counts
    found = [np.zeros((0, 3), dtype=np.int64)]
    places = [np.zeros(0, dtype=np.int64)]
    for count in np.unique(counts[counts >= 3]):
        alike = np.flatnonzero(counts == count)
        polygons = corners[starts[alike, None] + np.arange(count)]
        normals, whole = _fan_normals(vertices, polygons)
        hub = np.broadcast_to(polygons[:, :1], (len(alike), count - 2))
        fans = np.stack([hub, polygons[:, 1:-1], polygons[:, 2:]], axis=2)
        found.append(fans[whole].reshape(-1, 3))
        places.append(np.repeat(alike[whole], count - 2))
        for row in np.flatnonzero(~whole):
            ears = _ears(vertices[polygons[row]], normals[row])
            found.append(polygons[row][ears])
            places.append(np.full(len(ears), alike[row]))
    return np.concatenate(found), np.concatenate(places)


def _fan_normals(
    vertices: NDArray[np.float64], polygons: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return twice the area vector (A, 3) of each polygon, and whether all its fan is turned like it."""
    spokes = vertices[polygons[:, 1:]] - vertices[polygons[:, :1]]
    parts = np.cross(spokes[:, :-1], spokes[:, 1:])
    normals = parts.sum(axis=1)
    along = np.einsum("akd,ad->ak", parts, normals)
    return normals, (along >= -_TURNED * np.einsum("ad,ad->a", normals, normals)[:, None]).all(axis=1)


def _ears(polygon: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return triangles (T, 3) of one polygon (n, 3), as its corners."""
    axis = int(np.abs(normal).argmax())
    flat = np.ascontiguousarray(polygon[:, ((axis + 1) % 3, (axis + 2) % 3)])
    flat_ears = mapbox_earcut.triangulate_float64(flat, np.array([len(flat)], dtype=np.uint32))
    ears: NDArray[np.int64] = flat_ears.reshape(-1, 3).astype(np.int64)
    # The ears come counterclockwise, whichever way the polygon goes.
    return ears if normal[axis] > 0 else ears[:, ::-1]
