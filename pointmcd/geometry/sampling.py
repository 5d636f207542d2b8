"""Points on the surface of a mesh."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pointmcd.geometry.mesh import MeshError, face_geometry

if TYPE_CHECKING:
    import trimesh


def sample_surface(
    mesh: "trimesh.Trimesh", count: int, seed: int | Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Draw points uniformly by area, the same ones for the same mesh and seed.

    Args:
        mesh: The mesh.
        count: How many points.
        seed: Of numpy's default generator: one number, or several (for example set and shape).

    Returns:
        points: (count, 3) float32.
        normals: (count, 3) float32, unit. The normal of the face by its winding and by nothing else: where
            the winding of a mesh is not consistent, neither are they.
        face: (count,) int64, the face that each point lies on.

    Raises:
        MeshError: The mesh has no area.
        ValueError: ``count`` is negative.
    """
    if count < 0:
        raise ValueError(f"count must not be negative, got {count}")
    normals, area = face_geometry(mesh)
    cumulative = np.cumsum(area)
    if len(area) == 0 or not 0 < cumulative[-1] < np.inf:
        raise MeshError("zero area: no surface to sample")
    draw = np.random.default_rng(seed).random((count, 3))
    face = np.searchsorted(cumulative[:-1], draw[:, 0] * cumulative[-1], side="right")
    # Uniform in the triangle: Osada et al., Shape Distributions, 2002, formula 1.
    root = np.sqrt(draw[:, 1:2])
    weights = np.concatenate((1 - root, root * (1 - draw[:, 2:]), root * draw[:, 2:]), axis=1)
    points = np.einsum("pk,pkd->pd", weights, np.asarray(mesh.vertices)[np.asarray(mesh.faces)[face]])
    return points.astype(np.float32), normals[face].astype(np.float32), face.astype(np.int64)
