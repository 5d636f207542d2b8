"""Which face each pixel of posed cameras shows: by a z-buffer in C++, or by rays where that was not built.

Cameras are intrinsics in pixels and rigid matrices ``world_to_camera``, as in `correspondence`: a rig's or
calibrated ones. Both forms look through pixel centres and agree but for faces that are equally near, and for
pixels on an outline to within rounding (float64 here, float32 in Embree).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pointmcd.geometry.raycast import RayScene

try:
    from pointmcd.geometry import native
except ImportError:
    native = None  # type: ignore[assignment]


class Seen(NamedTuple):
    """What the pixels of V pictures show."""

    face: NDArray[np.int32]  # (V, H, W), -1 where there is nothing
    depth: NDArray[np.float32]  # (V, H, W) along the camera's z axis, inf where there is nothing
    barycentric: NDArray[np.float32]  # (V, H, W, 2) weights of the face's second and third corner


def look(
    scene: RayScene,
    intrinsics: NDArray[np.floating],
    world_to_camera: NDArray[np.floating],
    size: tuple[int, int],
) -> Seen:
    """Return the nearest face behind each pixel centre.

    Args:
        scene: What is seen.
        intrinsics: (3, 3) or (V, 3, 3), in pixels, without skew.
        world_to_camera: (V, 3, 4).
        size: Height and width of the pictures.

    Raises:
        ValueError: The intrinsics have another form.
    """
    return (cast_rays if native is None else rasterize)(scene, intrinsics, world_to_camera, size)


def rasterize(
    scene: RayScene,
    intrinsics: NDArray[np.floating],
    world_to_camera: NDArray[np.floating],
    size: tuple[int, int],
) -> Seen:
    """Do what `look` does by a z-buffer; of faces that are equally near the first is seen."""
    cameras = np.asarray(world_to_camera, np.float64)
    lenses = np.broadcast_to(lens(intrinsics), (len(cameras), 4))
    return Seen(*native.rasterize(scene.mesh.vertices, scene.mesh.faces, cameras, lenses, size))


def cast_rays(
    scene: RayScene,
    intrinsics: NDArray[np.floating],
    world_to_camera: NDArray[np.floating],
    size: tuple[int, int],
) -> Seen:
    """Do what `look` does by Embree, one view after the other."""
    origins, directions = pixel_rays(intrinsics, world_to_camera, size)
    pictures = []
    for origin, rays in zip(origins, directions, strict=True):
        hits = scene.first_hit(np.broadcast_to(origin, rays.shape).reshape(-1, 3), rays.reshape(-1, 3))
        pictures.append((hits.face, hits.distance, hits.barycentric))
    face, depth, barycentric = map(np.stack, zip(*pictures, strict=True))
    shape = directions.shape[:3]
    return Seen(face.reshape(shape), depth.reshape(shape), barycentric.reshape(*shape, 2))


def pixel_rays(
    intrinsics: NDArray[np.floating], world_to_camera: NDArray[np.floating], size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the rays through the pixel centres.

    Returns:
        origins: (V, 3) float32.
        directions: (V, H, W, 3) float32, of depth 1: the point at depth z on a ray is
            ``origin + z * direction``.
    """
    cameras = np.asarray(world_to_camera, np.float64)
    rotation = cameras[:, :, :3]
    origins = -np.einsum("vij,vi->vj", rotation, cameras[:, :, 3])
    lenses = np.broadcast_to(lens(intrinsics), (len(cameras), 4)).T
    x = (np.arange(size[1]) + 0.5 - lenses[2][:, None]) / lenses[0][:, None]
    y = (np.arange(size[0]) + 0.5 - lenses[3][:, None]) / lenses[1][:, None]
    right, down, forward = np.moveaxis(rotation, 1, 0)[:, :, None, None]
    directions = forward + x[:, None, :, None] * right + y[:, :, None, None] * down
    return origins.astype(np.float32), directions.astype(np.float32)


def lens(intrinsics: NDArray[Any]) -> NDArray[np.float64]:
    """Return focal lengths and principal point, in pixels: (..., 4) of intrinsics (..., 3, 3).

    Raises:
        ValueError: They are not intrinsics, or have skew.
    """
    matrix = np.asarray(intrinsics, np.float64)
    if matrix.shape[-2:] != (3, 3) or matrix.ndim > 3:
        raise ValueError(f"intrinsics must be (3, 3) or (V, 3, 3), not {matrix.shape}")
    if (matrix[..., (0, 1, 2, 2, 2), (1, 0, 0, 1, 2)] != (0, 0, 0, 0, 1)).any():
        raise ValueError("intrinsics with skew, or whose last row is not 0 0 1, are not supported")
    return matrix[..., (0, 1, 0, 1), (0, 1, 2, 2)]
