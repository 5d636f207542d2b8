"""Shapes in files: meshes and clouds."""

import warnings
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pointmcd.batch import FURTHER_INPUTS
from pointmcd.datasets.preparation.sources import Shape
from pointmcd.datasets.preparation.sources.mesh_folder import MeshFolder
from pointmcd.datasets.preparation.sources.walk import passed_over, walk
from pointmcd.geometry import (
    CLOUD_SUFFIXES,
    MESH_SUFFIXES,
    CloudColumns,
    MeshError,
    is_cloud,
    load_cloud,
    load_mesh,
)
from pointmcd.geometry.cloud import FOUND

if TYPE_CHECKING:
    import trimesh


SHAPE_SUFFIXES = tuple(dict.fromkeys(MESH_SUFFIXES + CLOUD_SUFFIXES))
NO_SHAPES = f"holds no shapes ({', '.join(SHAPE_SUFFIXES)})"


def read_shape(path: str | Path) -> "trimesh.Trimesh | np.ndarray":
    """Read a mesh (OFF, OBJ, PLY, STL, GLB) or a cloud (NPY, NPZ, XYZ, TXT, PTS, CSV, PLY without faces, and
    with the extra ``clouds`` PCD, LAS and LAZ).

    Args:
        path: The file. A text cloud holds x, y, z first in each line, separated by blanks, commas or
            semicolons, unless a line names its columns.

    Returns:
        A mesh, or an array (N, 3): x, y, z.

    Raises:
        MeshError: The file is missing, unreadable or of no known kind; the text says which.
    """
    shape = load_shape(path, ())
    found = shape.points if shape.mesh is None else shape.mesh
    assert found is not None  # a Shape is one of them
    return found


def files_of_folder(folder: Path) -> dict[str, Path]:
    """Return the files of shapes at any depth of a folder but for hidden ones: paths within it, sorted.

    Of other files it warns, but for those that belong to shapes.

    Raises:
        MeshError: There is none.
    """
    paths = visible_files(folder)
    found = {path.as_posix(): folder / path for path in paths if is_shape(path)}
    if not found:
        raise MeshError(f"{folder} {NO_SHAPES}")
    others = [str(path) for path in paths if not is_shape(path) and not is_companion(path)]
    if others:
        warnings.warn(f"{folder}: {passed_over(others)}", stacklevel=4)
    return found


def is_companion(path: Path) -> bool:
    """Return whether a file belongs to a mesh: its materials, textures or labels."""
    return path.suffix.lower() in MeshFolder.companions


def visible_files(folder: Path) -> list[Path]:
    """Return the files at any depth of a folder but for hidden ones: paths within it, sorted."""
    paths = [file.path for file in walk(folder)]
    return [path for path in paths if not any(part.startswith((".", "__")) for part in path.parts)]


def is_shape(path: Path) -> bool:
    """Return whether a file is of a kind that is read, by its name."""
    return path.suffix.lower() in SHAPE_SUFFIXES


def load_shape(
    path: str | Path, inputs: Collection[str] = FURTHER_INPUTS, columns: CloudColumns = FOUND
) -> Shape:
    """Read a mesh or a cloud, as ``read_shape``, with the ``inputs`` that it has.

    Raises:
        MeshError: As ``read_shape``.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if not path.is_file():
        raise MeshError(f"there is no file {path}")
    if not is_shape(path):
        raise MeshError(f"{path} is not a supported file ({', '.join(SHAPE_SUFFIXES)})")
    try:
        if kind not in MESH_SUFFIXES or is_cloud(path):
            cloud = load_cloud(path, columns, inputs)
            return Shape(points=cloud.points, normals=cloud.normals, colors=cloud.colors)
        return Shape(mesh=load_mesh(path))
    except MeshError as error:
        what = "cannot be read as a point cloud: " if kind not in MESH_SUFFIXES else ""
        raise MeshError(f"{path}{' ' if what else ': '}{what}{error}") from error
