"""Which pixels of posed depth pictures show the same point of a surface?

Pixel coordinates, camera axes and depth are those of `cameras`. A camera is a matrix of intrinsics (3, 3) in
pixels and a rigid matrix ``world_to_camera`` (3, 4), so that rigs and calibrated real cameras are the same.
A grid of stride s holds every s-th pixel, the first at s // 2: its nodes are pixels that were measured, and
nothing is interpolated.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pointmcd.geometry.cameras import CameraRig


class Correspondences(NamedTuple):
    """Where V views see each other's grid nodes; the first axis looks, the second is looked into."""

    pixel: NDArray[np.float64]  # (V, V, h, w, 2) x and y in the second view, NaN behind its camera
    found: NDArray[np.bool_]  # (V, V, h, w) whether the second view sees the same point there


def rig_intrinsics(rig: CameraRig, size: int) -> NDArray[np.float64]:
    """Return (3, 3) intrinsics of a rig's cameras for pictures of size x size."""
    focal = rig.focal(size)
    return np.array(((focal, 0, size / 2), (0, focal, size / 2), (0, 0, 1)))


def grid_pixels(length: int, stride: int) -> NDArray[np.int64]:
    """Return the rows (or columns) of the grid nodes in a picture of that height (or width).

    Raises:
        ValueError: The stride is not positive, or so large that no node is left.
    """
    if stride < 1 or stride // 2 >= length:
        raise ValueError(f"stride {stride} leaves no grid node in a picture of {length} pixels")
    return np.arange(stride // 2, length, stride)


def unproject(
    depth: NDArray[np.floating],
    intrinsics: NDArray[np.floating],
    world_to_camera: NDArray[np.floating],
    stride: int = 1,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the surface points at the grid nodes of depth pictures.

    Args:
        depth: (V, H, W) along the camera's z axis; inf, NaN or 0 where nothing was measured.
        intrinsics: (3, 3) or (V, 3, 3), in pixels of ``depth``.
        world_to_camera: (V, 3, 4).
        stride: Of the grid.

    Returns:
        points: (V, h, w, 3) in the world; zeros where nothing was measured.
        valid: (V, h, w), where something was.

    Raises:
        ValueError: A shape does not fit, or the stride leaves no node.
    """
    depth, intrinsics, world_to_camera = _views(depth, intrinsics, world_to_camera)
    rows, columns = grid_pixels(depth.shape[1], stride), grid_pixels(depth.shape[2], stride)
    z = depth[:, rows[:, None], columns]
    valid = np.isfinite(z) & (z > 0)
    column, row = np.meshgrid(columns + 0.5, rows + 0.5)
    pixel = np.stack((column, row, np.ones_like(row)), axis=-1)
    rays = np.einsum("vij,hwj->vhwi", np.linalg.inv(intrinsics), pixel)
    camera = rays * np.where(valid, z, 0)[..., None]
    rotation, shift = world_to_camera[..., :3], world_to_camera[..., 3]
    points = np.einsum("vji,vhwj->vhwi", rotation, camera - shift[:, None, None])
    return np.where(valid[..., None], points, 0), valid


def project(
    points: NDArray[np.floating], intrinsics: NDArray[np.floating], world_to_camera: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Project points (..., 3) into V cameras.

    Args:
        points: (..., 3) in the world.
        intrinsics: (3, 3) or (V, 3, 3), in pixels.
        world_to_camera: (V, 3, 4).

    Returns:
        pixel: (V, ..., 2), x and y; NaN for a point that is not in front of the camera.
        depth: (V, ...), along the camera's z axis.
    """
    points = np.asarray(points, dtype=np.float64)
    world_to_camera = np.asarray(world_to_camera, dtype=np.float64)
    rotation, shift = world_to_camera[..., :3], world_to_camera[..., 3]
    camera = np.einsum("vij,...j->v...i", rotation, points)
    camera += shift.reshape(len(shift), *(1,) * (points.ndim - 1), 3)
    intrinsics = np.broadcast_to(np.asarray(intrinsics, dtype=np.float64), (len(shift), 3, 3))
    image = np.einsum("vij,v...j->v...i", intrinsics, camera)
    depth: NDArray[np.float64] = camera[..., 2]
    pixel = np.full((*depth.shape, 2), np.nan)
    in_front = np.nonzero(depth > 0)
    pixel[in_front] = image[in_front][:, :2] / depth[in_front][:, None]
    return pixel, depth


def correspondences(
    depth: NDArray[np.floating],
    intrinsics: NDArray[np.floating],
    world_to_camera: NDArray[np.floating],
    stride: int = 1,
    eps: float = 2e-2,
) -> Correspondences:
    """Find every grid node of each view in all views.

    A node of view a is unprojected and projected into view b; it is found there if it falls into the picture
    and the depth that b measured in that pixel is that of the point: ``|depth_b - z| <= eps``.

    Args:
        depth: (V, H, W), as `unproject` takes it.
        intrinsics: (3, 3) or (V, 3, 3), in pixels of ``depth``.
        world_to_camera: (V, 3, 4).
        stride: Of the grid of the view looked from; b's pictures are read at full resolution.
        eps: In the world's unit of length. It must cover how much the depth changes within a pixel.

    Raises:
        ValueError: A shape does not fit, or the stride leaves no node.
    """
    points, valid = unproject(depth, intrinsics, world_to_camera, stride)
    depth, intrinsics, world_to_camera = _views(depth, intrinsics, world_to_camera)
    pixel, z = project(points, intrinsics, world_to_camera)  # looked into first
    height, width = depth.shape[1:]
    with np.errstate(invalid="ignore"):  # NaN is not inside
        x, y = np.moveaxis(pixel, -1, 0)
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    column, row = np.where(inside[..., None], pixel, 0).astype(np.int64).transpose(4, 0, 1, 2, 3)
    measured = depth[np.arange(len(depth))[:, None, None, None], row, column]
    found = inside & valid & np.isfinite(measured) & (np.abs(measured - z) <= eps)
    return Correspondences(np.swapaxes(pixel, 0, 1), np.swapaxes(found, 0, 1))


def overlap(found: NDArray[np.bool_], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how much of each view another one sees.

    Args:
        found: (V, V, h, w), of `correspondences`.
        valid: (V, h, w), of `unproject` with the same stride.

    Returns:
        (V, V) shares in [0, 1]: of the measured nodes of the first view, those that the second sees; 0 where
        the first measured nothing.
    """
    seen, measured = found.sum(axis=(2, 3)), valid.sum(axis=(1, 2))[:, None]
    return np.divide(seen, measured, out=np.zeros(seen.shape), where=measured > 0)


def _views(
    depth: NDArray[np.floating], intrinsics: NDArray[np.floating], world_to_camera: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the three in float64, intrinsics one a view."""
    depth, intrinsics, world_to_camera = (
        np.asarray(array, dtype=np.float64) for array in (depth, intrinsics, world_to_camera)
    )
    views = len(depth)
    if depth.ndim != 3 or world_to_camera.shape != (views, 3, 4):
        raise ValueError(
            f"depth must be (V, H, W) and world_to_camera (V, 3, 4), not {depth.shape} and "
            f"{world_to_camera.shape}"
        )
    if intrinsics.shape not in ((3, 3), (views, 3, 3)):
        raise ValueError(f"intrinsics must be (3, 3) or ({views}, 3, 3), not {intrinsics.shape}")
    return depth, np.broadcast_to(intrinsics, (views, 3, 3)), world_to_camera
