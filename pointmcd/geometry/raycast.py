"""Ray queries on one mesh, by Embree."""

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import trimesh
    from embreex.rtcore_scene import EmbreeScene


class Hits(NamedTuple):
    """The nearest hit of each of R rays."""

    face: NDArray[np.int32]  # (R,), -1 where nothing is hit
    distance: NDArray[np.float32]  # (R,) in lengths of the ray's direction, inf where nothing is hit
    barycentric: NDArray[np.float32]  # (R, 2) weights of the face's second and third corner


class RayScene:
    """A mesh, and its bounding volume hierarchy from the first ray on: for the views and for the visibility.

    Embree calculates in float32. The unit ball keeps its errors near 1e-6, hence the check.

    Args:
        mesh: In the unit ball, as `normalize` puts it.
        margin: How far it may reach out of the ball.

    Raises:
        ValueError: The mesh is empty or not in the unit ball, or a face names a vertex that is not there.
    """

    def __init__(self, mesh: "trimesh.Trimesh", margin: float = 1e-3) -> None:
        self.mesh = mesh
        vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
        if faces.size and not 0 <= faces.min() <= faces.max() < len(vertices):
            raise ValueError(f"a face names a vertex that is not among the {len(vertices)}")
        radius = np.linalg.norm(vertices, axis=1).max() if len(mesh.faces) else np.nan
        if not radius <= 1 + margin:
            raise ValueError(f"a mesh in the unit ball is needed (see normalize); its radius is {radius:.4g}")

    @cached_property
    def _scene(self) -> "EmbreeScene":
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        scene = EmbreeScene(robust=True)
        vertices, faces = np.asarray(self.mesh.vertices), np.asarray(self.mesh.faces)
        TriangleMesh(scene, vertices.astype(np.float32), faces.astype(np.int32))
        return scene

    def first_hit(self, origins: NDArray[np.float32], directions: NDArray[np.float32]) -> Hits:
        """Return the nearest hit of each ray; origins and directions (R, 3), directions of any length."""
        found = self._scene.run(_rows(origins), _rows(directions), output=True)
        missed = found["primID"] < 0
        found["tfar"][missed] = np.inf
        return Hits(found["primID"], found["tfar"], np.stack((found["u"], found["v"]), axis=1))

    def occluded(self, origins: NDArray[np.float32], directions: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return (R,) whether anything lies between ``origins`` and ``origins + directions``, both (R, 3)."""
        origins = _rows(origins)
        limit = np.ones(len(origins), dtype=np.float32)
        return self._scene.run(origins, _rows(directions), dists=limit, query="OCCLUDED") >= 0


def as_scene(mesh: "trimesh.Trimesh | RayScene") -> RayScene:
    """Return the scene of a mesh, or the scene itself."""
    return mesh if isinstance(mesh, RayScene) else RayScene(mesh)


def _rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(vectors, dtype=np.float32)
