"""Shapes in files: meshes and clouds."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pointmcd.geometry import CLOUD_SUFFIXES, MESH_SUFFIXES, MeshError, is_cloud, load_cloud, load_mesh

if TYPE_CHECKING:
    import trimesh


def read_shape(path: str | Path) -> "trimesh.Trimesh | np.ndarray":
    """Read a mesh (OFF, OBJ, PLY, STL, GLB) or a cloud (NPY, NPZ, XYZ, TXT, PTS, CSV, PLY without faces).

    Args:
        path: The file. A text cloud holds x, y, z first in each line, separated by blanks, commas or
            semicolons, unless a line names its columns.

    Returns:
        A mesh, or an array (N, 3 or more columns).

    Raises:
        MeshError: The file is missing, unreadable or of no known kind; the text says which.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if not path.is_file():
        raise MeshError(f"there is no file {path}")
    if kind not in MESH_SUFFIXES + CLOUD_SUFFIXES:
        raise MeshError(f"{path} is none of {', '.join(dict.fromkeys(MESH_SUFFIXES + CLOUD_SUFFIXES))}")
    try:
        if kind not in MESH_SUFFIXES or is_cloud(path):
            return load_cloud(path)
        return load_mesh(path)
    except MeshError as error:
        what = "cannot be read as a point cloud: " if kind not in MESH_SUFFIXES else ""
        raise MeshError(f"{path}{' ' if what else ': '}{what}{error}") from error
