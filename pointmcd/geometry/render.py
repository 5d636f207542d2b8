"""Grey shaded pictures of a mesh, with their depths and faces."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pointmcd.geometry.cameras import CameraRig
from pointmcd.geometry.corner_normals import corner_normals
from pointmcd.geometry.correspondence import rig_intrinsics
from pointmcd.geometry.mesh import face_geometry
from pointmcd.geometry.raster import Seen, lens, look, native, pixel_rays
from pointmcd.geometry.raycast import Hits, RayScene, as_scene

if TYPE_CHECKING:
    import trimesh

# Light on a white background: strongest where the surface looks at the viewer, so that outlines stay dark.
_AMBIENT, _HEAD, _KEY, _SPECULAR, _SHININESS = 0.18, 0.34, 0.36, 0.10, 24
# Where the key light stands, in the camera's axes (x right, y down, z forward): over the viewer's left
# shoulder.
_KEY_LIGHT = np.array((-0.5, -0.7, -0.5)) / np.linalg.norm((-0.5, -0.7, -0.5))


@dataclass(frozen=True)
class Views:
    """The V pictures of one shape.

    Attributes:
        images: (V, H, H, 3) uint8 RGB.
        depth: (V, H, H) float32 along the camera's z axis, inf where there is nothing.
        face: (V, H, H) int32 index of the face seen (of a cloud: of the point), -1 where there is nothing.
    """

    images: NDArray[np.uint8]
    depth: NDArray[np.float32]
    face: NDArray[np.int32]


def render_views(
    mesh: "trimesh.Trimesh | RayScene",
    rig: CameraRig,
    size: int,
    shading: str = "smooth",
    background: int = 255,
    crease_deg: float = 40.0,
) -> Views:
    """Render every view of a rig, one ray through each pixel centre.

    Faces are lit on both sides, whatever their winding, by a light at the viewer and one over the viewer's
    shoulder (Phong reflection, grey, no shadows).

    Args:
        mesh: In the unit ball, or its scene.
        rig: The cameras.
        size: Height and width in pixels.
        shading: ``smooth`` blends normals across edges of less than ``crease_deg`` (Phong shading), ``flat``
            has one normal a face.
        background: Grey value, 0 to 255.
        crease_deg: Edges sharper than this stay sharp.
    """
    if shading not in ("smooth", "flat"):
        raise ValueError(f"shading must be 'smooth' or 'flat', not {shading!r}")
    scene = as_scene(mesh)
    seen = _look(scene, rig, size, background)
    if shading == "smooth":
        normals = corner_normals(scene.mesh, crease_deg)
    else:
        normals = face_geometry(scene.mesh)[0][:, None]
    return Views(_rgb(light(seen, normals.astype(np.float32), rig, background)), seen.depth, seen.face)


def render_scene(
    scene: RayScene,
    rig: CameraRig,
    size: int,
    background: int,
    normals_seen: Callable[[Hits, NDArray[np.float32]], NDArray[np.float32]],
) -> Views:
    """Render what has its own rule for normals, lit as all pictures are.

    Args:
        scene: What is seen.
        rig: The cameras.
        size: Height and width in pixels.
        background: Grey value, 0 to 255.
        normals_seen: Gives normals (R, 3), of any length and sign, of R hits, at points (R, 3).
    """
    seen = _look(scene, rig, size, background)
    return Views(_rgb(light_hits(seen, normals_seen, rig, background)), seen.depth, seen.face)


def light(seen: Seen, normals: NDArray[np.float32], rig: CameraRig, background: int) -> NDArray[np.uint8]:
    """Return grey values (V, H, H) of faces with normals (F, 3, 3) at their corners, or (F, 1, 3)."""
    if native is None:
        return light_hits(seen, lambda hits, _: blended(normals, hits), rig, background)
    lenses, strengths = lens(rig_intrinsics(rig, seen.face.shape[-1])), (_AMBIENT, _HEAD, _KEY, _SPECULAR)
    rotations = rig.world_to_camera()[:, :, :3]
    strength = np.array(strengths, np.float32)
    return native.shade(
        normals, seen.face, seen.barycentric, rotations, lenses, strength, _KEY_LIGHT, background
    )


def light_hits(
    seen: Seen,
    normals_seen: Callable[[Hits, NDArray[np.float32]], NDArray[np.float32]],
    rig: CameraRig,
    background: int,
) -> NDArray[np.uint8]:
    """Return grey values (V, H, H); `light` with a rule for normals, and its plain form."""
    grey = np.full(seen.face.shape, background, dtype=np.uint8)
    cameras, size = rig.world_to_camera(), seen.face.shape[-1]
    origins, directions = pixel_rays(rig_intrinsics(rig, size), cameras, (size, size))
    key_light = (_KEY_LIGHT @ cameras[:, :, :3]).astype(np.float32)
    for view in range(len(grey)):
        there = seen.face[view] >= 0
        rays = directions[view][there]
        hits = Hits(*(values[view][there] for values in seen))
        normal = normals_seen(hits, origins[view] + hits.distance[:, None] * rays)
        grey[view][there] = _shade(normal, -rays, key_light[view])
    return grey


def blended(normals: NDArray[np.float32], hits: Hits) -> NDArray[np.float32]:
    """Return normals (R, 3) of R hits of faces with normals (F, 3, 3) at their corners, or (F, 1, 3)."""
    found = normals[hits.face]
    if normals.shape[1] == 1:
        return found[:, 0]
    second, third = hits.barycentric.T[..., None]
    return (1 - second - third) * found[:, 0] + second * found[:, 1] + third * found[:, 2]


def _look(scene: RayScene, rig: CameraRig, size: int, background: int) -> Seen:
    if size < 1:
        raise ValueError(f"size must be positive, got {size}")
    if not 0 <= background <= 255:
        raise ValueError(f"background must be in 0..255, got {background}")
    return look(scene, rig_intrinsics(rig, size), rig.world_to_camera(), (size, size))


def _rgb(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(grey[..., None], 3, axis=-1)


def _shade(
    normal: NDArray[np.float32], to_eye: NDArray[np.float32], to_key: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Return grey values of R surface points by Phong's reflection model, lit from both sides.

    Args:
        normal: (R, 3) of any length and sign.
        to_eye: (R, 3) of any length.
        to_key: (3,) unit.
    """
    scale = np.sqrt(_dot(normal, normal) * _dot(to_eye, to_eye))
    head = _dot(normal, to_eye) / np.maximum(scale, 1e-12)
    side = np.where(head < 0, np.float32(-1), np.float32(1))
    lambert = np.maximum(side * (normal @ to_key) / np.maximum(np.sqrt(_dot(normal, normal)), 1e-12), 0)
    mirrored = 2 * lambert * np.abs(head) - to_eye @ to_key / np.sqrt(_dot(to_eye, to_eye))
    shine = np.where(lambert > 0, np.maximum(mirrored, 0), 0) ** _SHININESS
    grey = _AMBIENT + _HEAD * np.abs(head) + _KEY * lambert + _SPECULAR * shine
    return (255 * np.minimum(grey, 1) + 0.5).astype(np.uint8)


def _dot(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """Return dot products (R,) of rows (R, 3)."""
    return np.einsum("rd,rd->r", one, other)
