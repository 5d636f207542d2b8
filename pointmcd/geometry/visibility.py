"""Which points does each view see? Exact by ray casting, or from depth pictures, or from the points alone.

A mask holds up to 32 views of one point: bit v is set where view v sees it.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pointmcd.geometry.cameras import CameraRig
from pointmcd.geometry.mesh import face_geometry
from pointmcd.geometry.raycast import RayScene, as_scene

if TYPE_CHECKING:
    import trimesh


def pack_masks(visible: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Pack booleans (P, V), V <= 32, into masks (P,) uint32: bit v from column v."""
    visible = np.asarray(visible, dtype=bool)
    if visible.ndim != 2 or visible.shape[1] > 32:
        raise ValueError(f"visible must be (P, V) with V <= 32, not {visible.shape}")
    return (visible.astype(np.uint32) << np.arange(visible.shape[1], dtype=np.uint32)).sum(
        axis=1, dtype=np.uint32
    )


def unpack_masks(masks: NDArray[np.integer], num_views: int) -> NDArray[np.bool_]:
    """Unpack masks (P,) into booleans (P, V); the inverse of `pack_masks`."""
    if not 0 <= num_views <= 32:
        raise ValueError(f"a mask holds at most 32 views, not {num_views}")
    bits = np.asarray(masks).astype(np.uint32)[:, None] >> np.arange(num_views, dtype=np.uint32)
    return (bits & 1).astype(bool)


def visible_by_ray(
    mesh: "trimesh.Trimesh | RayScene",
    points: NDArray[np.floating],
    rig: CameraRig,
    normals: NDArray[np.floating] | None = None,
    eps: float | None = None,
) -> NDArray[np.uint32]:
    """Return exact visibility: nothing of the mesh lies between the point and the camera.

    The ray runs from the point to the camera, which keeps Embree's float32 error near the point small. So
    that a point does not hide itself, it is first lifted by ``eps``: with ``normals`` off its face, to the
    side where the camera is, which holds at any grazing angle and for coinciding faces; without, towards the
    camera, which is the rule "no hit closer than the point's distance - eps". Walls thinner than ``eps`` hide
    nothing.

    Args:
        mesh: In the unit ball, or its scene.
        points: (P, 3) on the mesh.
        rig: The cameras, at most 32.
        normals: (P, 3) unit normals of the faces that the points lie on, of either sign.
        eps: In bounding radii; 1e-5 with normals, 1e-4 without.

    Returns:
        (P,) uint32 masks.
    """
    scene = as_scene(mesh)
    points = _cloud(points)
    to_camera = rig.positions() - points[:, None]
    if normals is None:
        lift = to_camera / np.linalg.norm(to_camera, axis=2, keepdims=True)
    else:
        facing = np.einsum("pvd,pd->pv", to_camera, normals)
        lift = np.where(facing < 0, -1, 1)[..., None] * np.asarray(normals)[:, None]
    lift = lift * (eps if eps is not None else 1e-4 if normals is None else 1e-5)
    origins = (points[:, None] + lift).reshape(-1, 3)
    hidden = scene.occluded(origins, (to_camera - lift).reshape(-1, 3))
    return pack_masks(~hidden.reshape(len(points), rig.num_views))


def visible_by_depth(
    points: NDArray[np.floating],
    rig: CameraRig,
    depth: NDArray[np.float32],
    face: NDArray[np.int32] | None = None,
    mesh: "trimesh.Trimesh | RayScene | None" = None,
    eps: float | None = None,
) -> NDArray[np.uint32]:
    """Return visibility by the depth buffer: the point is at most ``eps`` behind what its pixel shows.

    With ``face`` and ``mesh`` the depth is not that of the pixel's centre but that of the plane of the face
    seen there, evaluated on the point's own ray, which is right on slanted faces too. Background hides
    nothing.

    Args:
        points: (P, 3) in the unit ball.
        rig: The cameras of ``depth``, at most 32.
        depth: (V, H, H) as rendered, inf for background.
        face: (V, H, H) as rendered, -1 for background.
        mesh: What ``face`` indexes.
        eps: In bounding radii, along the camera's axis; 5e-3 with the planes seen, 2e-2 without.

    Returns:
        (P,) uint32 masks.
    """
    points = _cloud(points)
    size = depth.shape[-1]
    if depth.shape != (rig.num_views, size, size):
        raise ValueError(f"depth must be (V, H, H) with V = {rig.num_views}, not {depth.shape}")
    if (face is None) != (mesh is None):
        raise ValueError("face and mesh go together: give the faces that are seen and their mesh")
    pixel, point_depth = rig.project(points, size)
    column, row = np.clip(pixel.astype(np.int64), 0, size - 1).transpose(2, 0, 1)
    view = np.arange(rig.num_views)[:, None]
    seen_depth = depth[view, row, column].astype(np.float64)
    if face is not None and mesh is not None:
        triangles = mesh.mesh if isinstance(mesh, RayScene) else mesh
        seen = face[view, row, column]
        normal = face_geometry(triangles)[0][seen]
        corner = np.asarray(triangles.vertices)[np.asarray(triangles.faces)[seen, 0]]
        eye = rig.positions()[:, None]
        ray = (points - eye) / point_depth[..., None]
        slope = np.einsum("vpd,vpd->vp", normal, ray)
        offset = np.einsum("vpd,vpd->vp", normal, corner - eye)
        usable = (seen >= 0) & (np.abs(slope) > 1e-6)
        seen_depth = np.divide(offset, slope, out=seen_depth, where=usable)
    if eps is None:
        eps = 2e-2 if face is None else 5e-3
    return pack_masks((point_depth <= seen_depth + eps).T)


def visible_by_hpr(
    points: NDArray[np.floating], rig: CameraRig, radius: float | str = 100.0
) -> NDArray[np.uint32]:
    """Return hidden point removal (Katz, Tal, Basri, Direct Visibility of Point Sets, 2007): needs no mesh.

    Each point is flipped about a sphere of radius R around the camera; seen are those on the convex hull of
    the flipped points and the camera. It is the better the denser the cloud: sample 10000 points where there
    is a surface, and take the masks of the rows that are wanted. A sparse cloud needs a smaller radius, about
    sqrt(P); what it reaches is in `visible_by_splats`.

    Args:
        points: (P, 3).
        rig: The cameras, at most 32.
        radius: R in units of the largest distance of a point from the camera, or ``'pointvst'`` for
            PointVST's rule, R = 0.05 P diag with diag the diagonal of the cloud's bounding box.

    Returns:
        (P,) uint32 masks.

    Raises:
        ValueError: Fewer than 4 points, a radius below 1 or an unknown rule.
    """
    from scipy.spatial import ConvexHull, QhullError

    points = _cloud(points)
    if len(points) < 4:
        raise ValueError(f"a hull needs 4 points or more, got {len(points)}")
    if isinstance(radius, str) and radius != "pointvst":
        raise ValueError(f"radius must be a number or 'pointvst', not {radius!r}")
    if not isinstance(radius, str) and not 1 <= radius < np.inf:
        raise ValueError(f"radius must be 1 or more, in units of the largest distance, got {radius}")
    visible = np.zeros((len(points), rig.num_views), dtype=bool)
    for view, eye in enumerate(rig.positions()):
        offset = points - eye
        distance = np.linalg.norm(offset, axis=1, keepdims=True)
        if isinstance(radius, str):
            reach = 0.05 * len(points) * np.linalg.norm(np.ptp(points, axis=0))
        else:
            reach = radius * distance.max()
        flipped = offset + 2 * (reach - distance) * offset / distance
        corners = np.concatenate((flipped, np.zeros((1, 3))))
        try:
            hull = ConvexHull(corners).vertices
        except QhullError:
            # The points lie in one plane with the camera; qhull joggles them out of it.
            hull = ConvexHull(corners, qhull_options="QJ").vertices
        visible[hull[hull < len(points)], view] = True
    return pack_masks(visible)


def _cloud(points: NDArray[np.floating]) -> NDArray[np.float64]:
    cloud = np.asarray(points, dtype=np.float64)
    if cloud.ndim != 2 or cloud.shape[1] != 3:
        raise ValueError(f"points must be (P, 3), not {cloud.shape}")
    return cloud
