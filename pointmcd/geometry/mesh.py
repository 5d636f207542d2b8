"""Meshes: reading them, and bringing them into the frame that everything else expects (z up, unit ball)."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pointmcd.geometry.formats import MESH_SUFFIXES, Content, MeshError, read_mesh
from pointmcd.geometry.triangulate import triangulate

if TYPE_CHECKING:
    import trimesh

__all__ = ["MESH_SUFFIXES", "MeshError", "face_geometry", "load_mesh", "normalize", "read_file", "to_z_up"]

# Below this share of its squared extent the area of a mesh is rounding error.
_LEAST_RELATIVE_AREA = 1e-10
# A vertex that no face uses may lie anywhere, but not so far that float64 cannot tell the shape from a point.
_FARTHEST_STRAY = 1e15


def load_mesh(source: str | os.PathLike[str] | tuple[BinaryIO, str]) -> "trimesh.Trimesh":
    """Read one mesh: OFF, OBJ, PLY, STL or GLB.

    The parts of a scene are joined, polygons cut into triangles, equal vertices merged; faces without area
    and vertices without a face are dropped, so that they cannot distort the bounding box. Colours and
    textures are not read. The winding is that of the file and often not consistent.

    Args:
        source: A path, or a binary file object and its type (``off`` or ``.off``).

    Returns:
        The mesh. Its ``face_attributes["polygon"]`` (F,) tells which of the file's ``metadata["polygons"]``
        polygons each triangle is of, for labels that are stored beside the file. ``metadata["up"]`` is the
        axis that is up by the file's format, or None where the format leaves that open: GLB is +Y up.

    Raises:
        MeshError: Not a readable file of these formats, no faces, a face of a vertex that does not exist,
            coordinates that are not finite, or no area (a single point, points on a line).
    """
    if isinstance(source, tuple):
        file, kind = source
        return _clean(read_mesh(file.read(), "." + kind.lower().lstrip(".")))
    path = Path(source)
    return _clean(read_mesh(read_file(path), path.suffix.lower()))


def read_file(path: Path) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        MeshError: There is none, it is unreadable, or something else (a folder, a pipe) has the name.
    """
    try:
        if path.exists() and not path.is_file():
            raise MeshError("unreadable: it is not a regular file")
        return path.read_bytes()
    except OSError as error:
        raise MeshError(f"unreadable: {error.strerror}") from error


def to_z_up(vertices: NDArray[np.floating], up: str) -> NDArray[np.floating]:
    """Rotate coordinates (..., 3) whose up axis is ``up`` ('x', 'y' or 'z') so that z is up.

    Both turns are by 90 degrees about a horizontal axis: y-up about x, (x, y, z) -> (x, -z, y); x-up about y,
    (x, y, z) -> (-z, y, x).
    """
    x, y, z = np.moveaxis(np.asarray(vertices), -1, 0)
    if up == "z":
        return np.stack((x, y, z), axis=-1)
    if up == "y":
        return np.stack((x, -z, y), axis=-1)
    if up == "x":
        return np.stack((-z, y, x), axis=-1)
    raise ValueError(f"up must be 'x', 'y' or 'z', not {up!r}")


def normalize(vertices: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Move the bounding box centre to the origin and scale the largest radius to 1.

    This is ``bounding_box_normalization`` of the official PointMCD tools.

    Args:
        vertices: (P, 3), finite.

    Returns:
        The vertices ``(vertices - center) / scale`` (P, 3), ``center`` (3,) and ``scale`` > 0, all float64.

    Raises:
        MeshError: No vertices, coordinates that are not finite, or all of them in one point.
    """
    vertices = np.asarray(vertices, dtype=np.float64)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or len(vertices) == 0:
        raise MeshError(f"vertices must be (P, 3) with P > 0, not {vertices.shape}")
    if not np.isfinite(vertices).all():
        raise MeshError("coordinates are not finite")
    with np.errstate(over="ignore", invalid="ignore"):
        center = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
        centered = vertices - center
        scale = float(np.linalg.norm(centered, axis=1).max())
    if not np.isfinite(scale):
        raise MeshError(f"coordinates up to {np.abs(vertices).max():g} are too large to measure")
    if scale == 0:
        raise MeshError("a single point")
    return centered / scale, center, scale


def face_geometry(mesh: "trimesh.Trimesh") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return unit normals (F, 3), by winding, zero for a face without area, and areas (F,) of faces."""
    return _normals_and_areas(np.asarray(mesh.vertices)[np.asarray(mesh.faces)])


def _normals_and_areas(corners: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the same of corners (F, 3, 3)."""
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(cross, axis=1)
    normals = np.divide(cross, length[:, None], out=np.zeros_like(cross), where=length[:, None] > 0)
    return normals, length / 2


def _clean(content: Content) -> "trimesh.Trimesh":
    """Check and tidy; see `load_mesh`."""
    import trimesh

    vertices, corners, counts, up = content
    num_polygons = len(counts)
    if len(vertices) == 0 or not (counts >= 3).any():
        hint = "; it may be a cloud, but a mesh is needed" if len(vertices) and not num_polygons else ""
        raise MeshError(f"empty: {len(vertices)} vertices, {num_polygons} faces{hint}")
    if corners.min() < 0 or corners.max() >= len(vertices):
        raise MeshError(
            f"vertices 0 to {len(vertices) - 1} exist, but the faces name {corners.min()} to {corners.max()}"
        )
    used = np.zeros(len(vertices), dtype=bool)
    used[corners if (counts >= 3).all() else corners[np.repeat(counts >= 3, counts)]] = True
    if not np.isfinite(vertices[used]).all():
        raise MeshError("coordinates are not finite")
    # Relative to the extent, so that no unit is too small or too large.
    extent = float(np.ptp(vertices[used], axis=0).max())
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = vertices / (extent or 1.0)
    faces, polygon = triangulate(scaled, corners, counts)
    area = _normals_and_areas(scaled[faces])[1]
    faces, polygon = faces[area > 0], polygon[area > 0]
    stray = vertices[~used]
    used[:] = False
    used[faces] = True
    vertices, faces = vertices[used], (np.cumsum(used) - 1)[faces]
    size = float(np.ptp(vertices, axis=0).max()) if len(vertices) else 0.0
    if not area.sum() * extent**2 >= _LEAST_RELATIVE_AREA * size**2 > 0:
        raise MeshError("zero area: the faces are points or lines")
    with np.errstate(invalid="ignore", over="ignore"):
        far = np.abs(stray - vertices[0]).max(axis=1) > _FARTHEST_STRAY * size
    if far.any():
        raise MeshError(
            f"damaged: a mesh of extent {size:g}, and a vertex {stray[far][0].tolist()} of no face"
        )
    vertices, place = _merge(vertices)
    mesh = trimesh.Trimesh(vertices, place[faces], process=False)
    mesh.face_attributes["polygon"] = polygon
    mesh.metadata.update(polygons=num_polygons, up=up)
    return mesh


def _merge(vertices: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the different ones among vertices, sorted by x, y and z, and for each vertex which one it is.

    Not trimesh's merging, whose tolerance is absolute; several times as fast as ``np.unique`` over an axis.
    """
    order = np.lexsort(vertices.T[::-1])
    ordered = vertices[order]
    new = np.ones(len(vertices), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    place = np.empty(len(vertices), dtype=np.int64)
    place[order] = np.cumsum(new) - 1
    return ordered[new], place
