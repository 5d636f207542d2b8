"""Shapes in files: meshes and clouds."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pointmcd.geometry.mesh import MeshError, load_mesh

if TYPE_CHECKING:
    import trimesh

MESH_FILES = (".off", ".obj", ".ply", ".stl", ".glb")
TEXT_CLOUDS = (".xyz", ".txt")


def read_shape(path: str | Path) -> "trimesh.Trimesh | np.ndarray":
    """Read a mesh (OFF, OBJ, PLY, STL, GLB) or a cloud (NPY, XYZ, TXT, PLY without faces).

    Args:
        path: The file. A text cloud holds x, y, z first in each line, separated by blanks or commas.

    Returns:
        A mesh, or an array (N, 3 or more columns).

    Raises:
        MeshError: The file is missing, unreadable or of no known kind; the text says which.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if not path.is_file():
        raise MeshError(f"there is no file {path}")
    try:
        if kind == ".npy":
            return np.load(path, allow_pickle=False)
        if kind in TEXT_CLOUDS:
            lines = path.read_text().splitlines()
            if not lines:
                raise ValueError("the file is empty")
            return np.loadtxt(lines, delimiter="," if "," in lines[0] else None, ndmin=2)
        if kind == ".ply" and not _has_faces(path):
            import trimesh

            return np.asarray(trimesh.load(path, file_type="ply").vertices)  # type: ignore[attr-defined]
    except (ValueError, UnicodeDecodeError) as error:
        raise MeshError(f"{path} cannot be read as a point cloud: {error}") from error
    if kind not in MESH_FILES:
        raise MeshError(f"{path} is none of {', '.join((*MESH_FILES, '.npy', *TEXT_CLOUDS))}")
    try:
        return load_mesh(path)
    except MeshError as error:
        raise MeshError(f"{path}: {error}") from error


def _has_faces(path: Path) -> bool:
    """Whether the header of a PLY file announces a face."""
    header = path.read_bytes()[:65536].partition(b"end_header")[0]
    return any(
        line.split()[:2] == [b"element", b"face"] and line.split()[2] != b"0" for line in header.splitlines()
    )
