"""Meshes: reading them, and bringing them into the frame that everything else expects (z up, unit ball)."""

import os
import re
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import trimesh
from numpy.typing import NDArray

MESH_SUFFIXES = (".off", ".obj", ".ply", ".stl", ".glb")

# The keyword may be missing, and may run into the counts (``OFF490 518 0``), as in some files of ModelNet40.
_OFF_HEADER = re.compile(r"\A\s*(?:(?:ST)?C?N?OFF)?")

# Below this share of its squared extent the area of a mesh is rounding error.
_LEAST_RELATIVE_AREA = 1e-10


class MeshError(ValueError):
    """The mesh cannot be used; the text is the reason."""


def load_mesh(source: str | os.PathLike[str] | tuple[BinaryIO, str]) -> trimesh.Trimesh:
    """Reads one triangle mesh: OFF, OBJ, PLY, STL or GLB.

    The parts of a scene are joined, polygons cut into triangle fans, equal vertices merged; faces without
    area and vertices without a face are dropped, so that they cannot distort the bounding box. Colours and
    textures are not read. The winding is that of the file and often not consistent.

    Args:
        source: A path, or a binary file object and its type (``off`` or ``.off``).

    Returns:
        The mesh. Its ``face_attributes["polygon"]`` (F,) tells which of the file's ``metadata["polygons"]``
        polygons each triangle is of, for labels that are stored beside the file; of PLY, STL and GLB these
        are triangles.

    Raises:
        MeshError: Not a readable file of these formats, no faces, a face of a vertex that does not exist,
            coordinates that are not finite, or no area (a single point, points on a line).
    """
    if isinstance(source, tuple):
        file, kind = source
        return _clean(_read(file.read(), "." + kind.lower().lstrip(".")))
    path = Path(source)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MeshError(f"unreadable: {error.strerror}") from error
    return _clean(_read(data, path.suffix.lower()))


def to_z_up(vertices: NDArray[np.floating], up: str) -> NDArray[np.floating]:
    """Rotates coordinates (..., 3) whose up axis is ``up`` ('x', 'y' or 'z') so that z is up.

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
    """Moves the bounding box centre to the origin and scales the largest radius to 1.

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
    center = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    centered = vertices - center
    scale = float(np.linalg.norm(centered, axis=1).max())
    if scale == 0:
        raise MeshError("a single point")
    return centered / scale, center, scale


def face_geometry(mesh: trimesh.Trimesh) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit normals (F, 3), by winding and zero for a face without area, and areas (F,) of the faces."""
    return _normals_and_areas(np.asarray(mesh.vertices)[np.asarray(mesh.faces)])


def _normals_and_areas(corners: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same of corners (F, 3, 3)."""
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(cross, axis=1)
    normals = np.divide(cross, length[:, None], out=np.zeros_like(cross), where=length[:, None] > 0)
    return normals, length / 2


class _Content(NamedTuple):
    """What a file holds."""

    vertices: NDArray[np.float64]  # (P, 3)
    faces: NDArray[np.int64]  # (F, 3)
    polygon: NDArray[np.int64]  # (F,) which of the file's polygons a triangle is of
    num_polygons: int


def _read(data: bytes, suffix: str) -> _Content:
    """The content of a file."""
    if suffix not in MESH_SUFFIXES:
        raise MeshError(f"unknown mesh format {suffix!r}, known are {', '.join(MESH_SUFFIXES)}")
    if not data.strip():
        raise MeshError("empty file")
    try:
        if suffix == ".off":
            return _read_off(data.decode("utf-8-sig", errors="replace"))
        if suffix == ".obj":
            return _read_obj(data.decode("utf-8-sig", errors="replace"))
        # From memory and without a resolver, so that no other file is opened (materials, textures).
        scene = trimesh.load_scene(trimesh.util.wrap_as_stream(data), file_type=suffix[1:], process=False)
        mesh = scene.to_mesh()
    except MeshError:
        raise
    except Exception as error:  # the readers of trimesh raise whatever their parsing meets
        raise MeshError(f"unreadable {suffix[1:].upper()}: {error}") from error
    faces = np.asarray(mesh.faces, dtype=np.int64)
    vertices = np.asarray(mesh.vertices, dtype=np.float64)
    return _Content(vertices, faces, np.arange(len(faces)), len(faces))


def _read_off(text: str) -> _Content:
    """Reads text OFF: ``#`` comments, colours or normals behind the coordinates, polygons, joined headers.

    trimesh reads OFF too, but takes a file that was cut off among its faces for a whole one.
    """
    text = _OFF_HEADER.sub("", re.sub(r"#.*", "", text))
    lines = [words for line in text.splitlines() if (words := line.split())]
    if not lines or len(lines[0]) < 2:
        raise MeshError("unreadable OFF: no vertex and face counts")
    num_vertices, num_faces = int(lines[0][0]), int(lines[0][1])
    if min(num_vertices, num_faces) < 0 or len(lines) - 1 < num_vertices + num_faces:
        raise MeshError(
            f"unreadable OFF: {num_vertices} vertices and {num_faces} faces promised, "
            f"{len(lines) - 1} lines follow"
        )
    vertices = np.array([line[:3] for line in lines[1 : num_vertices + 1]], dtype=np.float64).reshape(-1, 3)
    polygons = lines[num_vertices + 1 : num_vertices + num_faces + 1]
    corners = [[int(word) for word in line[1 : int(line[0]) + 1]] for line in polygons]
    if any(len(found) != int(line[0]) for found, line in zip(corners, polygons, strict=True)):
        raise MeshError("unreadable OFF: a face has fewer vertices than it promises")
    return _fans(vertices, corners)


def _read_obj(text: str) -> _Content:
    """Reads the vertices and faces of OBJ in their order.

    trimesh reads OBJ too, but orders the faces by material and by number of corners, so that labels beside
    the file no longer fit.
    """
    vertices, polygons = [], []
    for line in text.replace("\\\n", " ").splitlines():
        words = line.partition("#")[0].split()
        if words and words[0] == "v":
            vertices.append([float(word) for word in words[1:4]])
        elif words and words[0] == "f":
            corners = [int(word.partition("/")[0]) for word in words[1:]]
            # Counted from 1, or back from the last vertex so far.
            polygons.append([c - 1 if c > 0 else len(vertices) + c if c < 0 else -1 for c in corners])
    return _fans(np.array(vertices, dtype=np.float64).reshape(-1, 3), polygons)


def _fans(vertices: NDArray[np.float64], polygons: list[list[int]]) -> _Content:
    """Cuts polygons into triangle fans, those of fewest corners first."""
    num_corners = np.array([len(polygon) for polygon in polygons], dtype=np.int64)
    triangles = [np.zeros((0, 3), dtype=np.int64)]
    places = [np.zeros(0, dtype=np.int64)]
    for count in np.unique(num_corners[num_corners >= 3]):
        alike = np.flatnonzero(num_corners == count)
        polygon = np.array([polygons[i] for i in alike], dtype=np.int64)
        fan = [polygon[:, (0, k, k + 1)] for k in range(1, count - 1)]
        triangles.append(np.stack(fan, axis=1).reshape(-1, 3))
        places.append(np.repeat(alike, count - 2))
    return _Content(vertices, np.concatenate(triangles), np.concatenate(places), len(polygons))


def _clean(content: _Content) -> trimesh.Trimesh:
    """Checks and tidies; see `load_mesh`."""
    vertices, faces, polygon, num_polygons = content
    if len(vertices) == 0 or len(faces) == 0:
        raise MeshError(f"empty: {len(vertices)} vertices, {len(faces)} faces")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise MeshError(
            f"vertices 0 to {len(vertices) - 1} exist, the faces name {faces.min()} to {faces.max()}"
        )
    extent = float(np.ptp(vertices, axis=0).max())
    if not np.isfinite(extent):
        raise MeshError("coordinates are not finite")
    # Relative to the extent, so that no unit is too small or too large.
    area = _normals_and_areas((vertices / (extent or 1.0))[faces])[1]
    if area.sum() < _LEAST_RELATIVE_AREA:
        raise MeshError("zero area: the faces are points or lines")
    # Not trimesh's own merging, whose tolerance is absolute.
    merged, merged_index = np.unique(vertices, axis=0, return_inverse=True)
    mesh = trimesh.Trimesh(merged, merged_index.ravel()[faces[area > 0]], process=False)
    mesh.face_attributes["polygon"] = polygon[area > 0]
    mesh.metadata["polygons"] = num_polygons
    mesh.remove_unreferenced_vertices()
    return mesh
