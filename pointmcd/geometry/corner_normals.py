"""Normals of the corners of faces: smooth over a surface, and sharp at its creases."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pointmcd.geometry.mesh import face_geometry
from pointmcd.geometry.raster import native

if TYPE_CHECKING:
    import trimesh

# Doubled sheets have four faces at an edge; edges with more are smoothed between the nearest in order only.
_MOST_FACES_AT_EDGE = 4


def corner_normals(mesh: "trimesh.Trimesh", crease_deg: float) -> NDArray[np.float64]:
    """Return (F, 3, 3) unit normals of the corners of every face, smooth except across creases.

    A corner's normal is the area-weighted mean over the faces about its vertex that are joined to it by
    edges that bend by less than ``crease_deg``. Neither the bend nor the mean depends on the winding, which
    need not be consistent: the result has the sign of the face's own normal.
    """
    if native is None:
        return plain_corner_normals(mesh, crease_deg)
    least_cosine = np.cos(np.radians(crease_deg))
    return native.corner_normals(mesh.vertices, mesh.faces, least_cosine, _MOST_FACES_AT_EDGE)


def plain_corner_normals(mesh: "trimesh.Trimesh", crease_deg: float) -> NDArray[np.float64]:
    """Compute `corner_normals` in numpy and scipy, which the C++ follows step by step."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    normals, area = face_geometry(mesh)
    num_corners = faces.size
    # Half-edge 3 f + i runs from corner 3 f + i to the next corner of face f.
    start, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    following = np.roll(np.arange(num_corners).reshape(-1, 3), -1, axis=1).ravel()
    # In the face, perpendicular to the edge, away from it: opposite across a flat edge, equal where a sheet
    # is folded back onto itself or doubled.
    inward = np.cross(np.repeat(normals, 3, axis=0), vertices[end] - vertices[start])
    inward /= np.maximum(np.linalg.norm(inward, axis=1, keepdims=True), np.finfo(float).tiny)
    edge = np.minimum(start, end) * np.int64(len(vertices)) + np.maximum(start, end)
    order = np.argsort(edge, kind="stable")
    one, other = np.concatenate([(order[:-k], order[k:]) for k in range(1, _MOST_FACES_AT_EDGE)], axis=1)
    shared = edge[one] == edge[other]
    one, other = one[shared], other[shared]
    smooth = -_dot(inward[one], inward[other]) > np.cos(np.radians(crease_deg))
    one, other = one[smooth], other[smooth]

    # Each corner is there twice, with its face's normal and with the opposite one, and is linked to the copy
    # of its neighbour that looks to the same side; the connected parts then have one side each.
    same_way = start[one] == start[other]
    tail = one, np.where(same_way, other, following[other])
    head = following[one], np.where(same_way, following[other], other)
    near, far = np.concatenate((tail, head), axis=1)
    flip = np.tile(_dot(normals[one // 3], normals[other // 3]) < 0, 2)
    links = np.concatenate(
        ((near, far + num_corners * flip), (near + num_corners, far + num_corners * ~flip)), axis=1
    )
    graph = coo_array((np.ones(links.shape[1], dtype=bool), tuple(links)), shape=(2 * num_corners,) * 2)
    num_groups, group = connected_components(graph, directed=False)

    weighted = np.repeat(normals * area[:, None], 3, axis=0)
    both_sides = np.concatenate((weighted, -weighted))
    total = np.stack([np.bincount(group, both_sides[:, axis], num_groups) for axis in range(3)], axis=1)
    mean = total[group[:num_corners]]
    length = np.linalg.norm(mean, axis=1, keepdims=True)
    # On a surface with one side only (a Moebius strip) the two copies meet and cancel.
    cancelled = length <= 1e-6 * np.linalg.norm(weighted, axis=1, keepdims=True)
    own = np.repeat(normals, 3, axis=0)
    return np.divide(mean, length, out=own, where=~cancelled).reshape(-1, 3, 3)


def _dot(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """Return dot products (R,) of rows (R, 3)."""
    return np.einsum("rd,rd->r", one, other)
