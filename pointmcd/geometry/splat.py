"""Clouds of points as surfaces of small ellipses: their pictures, depths and visibility.

Surface splatting (Zwicker, Pfister, van Baar and Gross, 2001) with the ellipses as polygons and rays instead
of a rasteriser, so that a cloud goes through the same code as a mesh.
"""

import numpy as np
from numpy.typing import NDArray

from pointmcd.geometry.cameras import CameraRig
from pointmcd.geometry.mesh import MeshError
from pointmcd.geometry.raycast import Hits, RayScene
from pointmcd.geometry.render import Views, render_scene
from pointmcd.geometry.visibility import visible_by_ray

_LEAST_POINTS = 4
_NEIGHBOURS = 24  # of them an ellipse takes mean and spread, and a point without a normal its plane
_EXTENT = 1.4  # half axes in standard deviations; a disc's edge is at 2, and neighbours overlap
_LEAST, _MOST = 0.15, 0.9  # of the half axes, in units of the spacing
_SHIFT = 0.5  # of the way from the point to that mean: within outlines, and without holes
_SIDES = 6
_BLENDED = 8  # neighbours that share in the normal of a pixel
_CREASE = np.cos(np.radians(40.0))  # ... unless their normals differ by more
_LIFT = 0.2  # in units of the spacing


class Splats:
    """The ellipses of a cloud, one a point, in the planes of their normals.

    An ellipse has 1.4 standard deviations of the point's 24 nearest neighbours and lies half way to their
    mean, in the point's tangent plane: it closes the surface where there are points all around, keeps within
    outlines and is narrow on thin parts.

    Args:
        points: (N, 3) in the unit ball, N >= 4.
        normals: (N, 3) of any length and sign. Those that are zero or not finite, or all of them where there
            are none, are estimated: the direction in which the neighbours spread least.

    Attributes:
        scene: The polygons.
        points: (N, 3) float64.
        normals: (N, 3) float64, unit.
        spacing: Median distance of a point from its 24th neighbour.

    Raises:
        MeshError: Fewer than four different points.
    """

    def __init__(self, points: NDArray[np.floating], normals: NDArray[np.floating] | None = None) -> None:
        import trimesh
        from scipy.spatial import cKDTree

        self.points = np.asarray(points, dtype=np.float64)
        if self.points.ndim != 2 or self.points.shape[1] != 3:
            raise ValueError(f"points must be (N, 3), not {self.points.shape}")
        if len(np.unique(self.points, axis=0)) < _LEAST_POINTS:
            raise MeshError(f"a cloud needs {_LEAST_POINTS} different points to be rendered")
        count = min(_NEIGHBOURS, len(self.points) - 1)
        distance, self._near = cKDTree(self.points).query(self.points, count + 1)
        self.spacing = float(np.median(distance[distance[:, -1] > 0, -1]))
        self._reach = np.maximum(distance[:, -1:], _LEAST * self.spacing).astype(np.float32)
        self.normals, has_normals = _normals(self.points[self._near], normals)
        self._points32, self._normals32 = self.points.astype(np.float32), self.normals.astype(np.float32)
        center, first, second = self._ellipses(has_normals)
        turn = 2 * np.pi * np.arange(_SIDES) / _SIDES
        grow = np.sqrt(turn[1] / np.sin(turn[1]))  # the polygon has the ellipse's area
        corners = center[:, None] + grow * (
            np.cos(turn)[:, None] * first[:, None] + np.sin(turn)[:, None] * second[:, None]
        )
        fan = np.array([(0, k, k + 1) for k in range(1, _SIDES - 1)])
        faces = _SIDES * np.arange(len(points))[:, None, None] + fan
        polygons = trimesh.Trimesh(corners.reshape(-1, 3), faces.reshape(-1, 3), process=False)
        self.scene = RayScene(polygons, margin=np.inf)

    def _ellipses(self, has_normals: NDArray[np.bool_]) -> tuple[NDArray[np.float64], ...]:
        """Return centres and half axes, each (N, 3)."""
        alike = np.abs(np.einsum("nkd,nd->nk", self.normals[self._near], self.normals)) > _CREASE
        # An estimated normal already blends what lies on either side of a crease.
        weight = np.where(alike & has_normals[self._near] | ~has_normals[:, None], 1.0, 0.0)
        weight /= weight.sum(axis=1, keepdims=True)
        basis = _tangents(self.normals)
        offset = np.einsum("nkd,nad->nka", self.points[self._near] - self.points[:, None], basis)
        mean = np.einsum("nk,nka->na", weight, offset)
        offset -= mean[:, None]
        variance, axes = np.linalg.eigh(np.einsum("nk,nka,nkb->nab", weight, offset, offset))
        half = np.clip(
            _EXTENT * np.sqrt(np.maximum(variance, 0)), _LEAST * self.spacing, _MOST * self.spacing
        )
        second, first = np.einsum("nai,nad,ni->ind", axes, basis, half)
        return self.points + _SHIFT * np.einsum("na,nad->nd", mean, basis), first, second

    def normals_seen(self, hits: Hits, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return normals (R, 3) of hits at ``points`` (R, 3): a mean over near points of the same side."""
        splat = hits.face // (_SIDES - 2)
        near = self._near[splat, : _BLENDED + 1]
        normal = self._normals32
        distance = np.linalg.norm(self._points32[near] - points[:, None], axis=2)
        bend = np.einsum("rkd,rd->rk", normal[near], normal[splat])
        weight = np.exp(-2 * (distance / self._reach[splat]) ** 2) * (np.abs(bend) > _CREASE) * np.sign(bend)
        return np.einsum("rk,rkd->rd", weight, normal[near])


def splat_views(
    points: NDArray[np.floating] | Splats,
    normals: NDArray[np.floating] | None,
    rig: CameraRig,
    size: int,
    background: int = 255,
) -> Views:
    """Render every view of a cloud, lit as `render_views` lights a mesh.

    Against the rendered meshes of the 16 built-in categories (12 views of 112 pixels): from 2600 points with
    normals the silhouettes' intersection over union is 0.942, grey values correlate by 0.83 and the median
    error of depth is 0.003; from 10000 points 0.971, 0.89 and 0.001. With estimated normals it is 0.914, 0.66
    and 0.012 (10000 points: 0.948, 0.66 and 0.007), since thin parts and edges look round. One core takes
    30 ms for the splats of 2600 points and 8 ms a view, 120 and 12 ms of 10000.

    Args:
        points: (N, 3) in the unit ball, or their splats.
        normals: (N, 3), or None to estimate them; left out of account where splats are given.
        rig: The cameras.
        size: Height and width in pixels.
        background: Grey value, 0 to 255.

    Returns:
        The pictures; ``face`` is the index of the point whose ellipse is seen.

    Raises:
        MeshError: Fewer than four different points.
    """
    splats = points if isinstance(points, Splats) else Splats(points, normals)
    views = render_scene(splats.scene, rig, size, background, splats.normals_seen)
    return Views(views.images, views.depth, np.where(views.face < 0, -1, views.face // (_SIDES - 2)))


def visible_by_splats(
    splats: Splats, rig: CameraRig, rows: NDArray[np.integer] | None = None
) -> NDArray[np.uint32]:
    """Return the visibility of a cloud's points: no other ellipse lies between point and camera.

    Point-view pairs that agree with ray casting against the mesh, over the 16 built-in categories and 12
    views, from 1024 / 2600 / 10000 points:
        with normals 0.926 / 0.958 / 0.979, with estimated ones 0.881 / 0.917 / 0.921;
        by hidden-point removal with a radius of sqrt(N), at four times the cost, 0.896 / 0.924 / 0.951;
        by the depth of the splats' pictures (112 pixels, 0.3 spacings) 0.876 / 0.915 / 0.932.
    So take this where there are normals, and `visible_by_hpr` where there are none.

    Args:
        splats: The cloud.
        rig: The cameras, at most 32.
        rows: (P,) the points that are asked for; default: all.

    Returns:
        (P,) uint32 masks.
    """
    chosen = slice(None) if rows is None else rows
    lift = _LIFT * splats.spacing
    return visible_by_ray(splats.scene, splats.points[chosen], rig, splats.normals[chosen], eps=lift)


def _normals(
    near: NDArray[np.float64], given: NDArray[np.floating] | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return unit normals (N, 3) of points with neighbours ``near`` (N, K, 3), and which were given."""
    if given is None:
        normals = np.zeros((len(near), 3))
    else:
        normals = np.array(given, dtype=np.float64)
        if normals.shape != (len(near), 3):
            raise ValueError(f"normals must be ({len(near)}, 3), not {normals.shape}")
        normals[~np.isfinite(normals).all(axis=1)] = 0
    length = np.linalg.norm(normals, axis=1)
    usable = length > 0
    normals[usable] /= length[usable, None]
    spread = near[~usable] - near[~usable].mean(axis=1, keepdims=True)
    normals[~usable] = np.linalg.eigh(np.einsum("nki,nkj->nij", spread, spread))[1][:, :, 0]
    return normals, usable


def _tangents(normals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N, 2, 3) orthonormal vectors across unit normals (N, 3)."""
    first = np.cross(normals, np.eye(3)[np.abs(normals).argmin(axis=1)])
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return np.stack((first, np.cross(normals, first)), axis=1)
