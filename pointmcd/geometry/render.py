"""Grey shaded pictures of a mesh, with their depths and faces, by ray casting."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pointmcd.geometry.cameras import CameraRig
from pointmcd.geometry.mesh import face_geometry
from pointmcd.geometry.raycast import Hits, RayScene, as_scene

if TYPE_CHECKING:
    import trimesh

# Light on a white background: strongest where the surface looks at the viewer, so that outlines stay dark.
_AMBIENT, _HEAD, _KEY, _SPECULAR, _SHININESS = 0.18, 0.34, 0.36, 0.10, 24
# Where the key light stands, in the camera's axes (x right, y down, z forward): over the viewer's left
# shoulder.
_KEY_LIGHT = np.array((-0.5, -0.7, -0.5)) / np.linalg.norm((-0.5, -0.7, -0.5))

# Doubled sheets have four faces at an edge; edges with more are smoothed between the nearest in order only.
_MOST_FACES_AT_EDGE = 4


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
    if shading == "smooth":
        normals = corner_normals(scene.mesh, crease_deg).astype(np.float32)
    else:
        normals = face_geometry(scene.mesh)[0].astype(np.float32)

    def normals_seen(hits: Hits, points: NDArray[np.float32]) -> NDArray[np.float32]:
        found = normals[hits.face]
        if shading == "smooth":
            second, third = hits.barycentric.T[..., None]
            found = (1 - second - third) * found[:, 0] + second * found[:, 1] + third * found[:, 2]
        return found

    return render_scene(scene, rig, size, background, normals_seen)


def render_scene(
    scene: RayScene,
    rig: CameraRig,
    size: int,
    background: int,
    normals_seen: Callable[[Hits, NDArray[np.float32]], NDArray[np.float32]],
) -> Views:
    """Cast the rays of a rig and light what they hit, as all pictures do.

    Args:
        scene: What is seen.
        rig: The cameras.
        size: Height and width in pixels.
        background: Grey value, 0 to 255.
        normals_seen: Gives normals (R, 3), of any length and sign, of R hits, at points (R, 3).
    """
    if size < 1:
        raise ValueError(f"size must be positive, got {size}")
    if not 0 <= background <= 255:
        raise ValueError(f"background must be in 0..255, got {background}")
    shape = (rig.num_views, size, size)
    images = np.full((*shape, 3), background, dtype=np.uint8)
    depth = np.full(shape, np.inf, dtype=np.float32)
    face = np.full(shape, -1, dtype=np.int32)
    origins, directions = rig.rays(size)
    key_light = (_KEY_LIGHT @ rig.world_to_camera()[:, :, :3]).astype(np.float32)
    for view, (rows, columns) in enumerate(_windows(scene.mesh, rig, size)):
        window = directions[view, rows, columns].shape[:2]
        ray = directions[view, rows, columns].reshape(-1, 3)
        hits = scene.first_hit(np.broadcast_to(origins[view], ray.shape), ray)
        depth[view, rows, columns] = hits.distance.reshape(window)
        face[view, rows, columns] = hits.face.reshape(window)
        seen = np.flatnonzero(hits.face >= 0)
        hits = Hits(hits.face[seen], hits.distance[seen], hits.barycentric[seen])
        normal = normals_seen(hits, origins[view] + hits.distance[:, None] * ray[seen])
        grey = np.full(len(ray), background, dtype=np.uint8)
        grey[seen] = _shade(normal, -ray[seen], key_light[view])
        images[view, rows, columns] = grey.reshape(*window, 1)
    return Views(images, depth, face)


def corner_normals(mesh: "trimesh.Trimesh", crease_deg: float) -> NDArray[np.float64]:
    """(F, 3, 3) unit normals of the corners of every face, smooth except across creases.

    A corner's normal is the area-weighted mean over the faces about its vertex that are joined to it by
    edges that bend by less than ``crease_deg``. Neither the bend nor the mean depends on the winding, which
    need not be consistent: the result has the sign of the face's own normal.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    normals, area = face_geometry(mesh)
    num_corners = faces.size
    # Half-edge 3 f + i runs from corner 3 f + i to the next corner of face f.
    start, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    following = np.roll(np.arange(num_corners).reshape(-1, 3), -1, axis=1).ravel()
    # In the face, perpendicular to the edge, away from it: opposite across a flat edge, equal where a sheet
    # is folded back onto itself or doubled.
    inward = np.cross(np.repeat(normals, 3, axis=0), vertices[end] - vertices[start])
    inward /= np.maximum(np.linalg.norm(inward, axis=1, keepdims=True), np.finfo(float).tiny)
    edge = np.minimum(start, end) * np.int64(len(vertices)) + np.maximum(start, end)
    order = np.argsort(edge, kind="stable")
    one, other = np.concatenate([(order[:-k], order[k:]) for k in range(1, _MOST_FACES_AT_EDGE)], axis=1)
    shared = edge[one] == edge[other]
    one, other = one[shared], other[shared]
    smooth = -_dot(inward[one], inward[other]) > np.cos(np.radians(crease_deg))
    one, other = one[smooth], other[smooth]

    # Each corner is there twice, with its face's normal and with the opposite one, and is linked to the copy
    # of its neighbour that looks to the same side; the connected parts then have one side each.
    same_way = start[one] == start[other]
    tail = one, np.where(same_way, other, following[other])
    head = following[one], np.where(same_way, following[other], other)
    near, far = np.concatenate((tail, head), axis=1)
    flip = np.tile(_dot(normals[one // 3], normals[other // 3]) < 0, 2)
    links = np.concatenate(
        ((near, far + num_corners * flip), (near + num_corners, far + num_corners * ~flip)), axis=1
    )
    graph = coo_array((np.ones(links.shape[1], dtype=bool), tuple(links)), shape=(2 * num_corners,) * 2)
    num_groups, group = connected_components(graph, directed=False)

    weighted = np.repeat(normals * area[:, None], 3, axis=0)
    both_sides = np.concatenate((weighted, -weighted))
    total = np.stack([np.bincount(group, both_sides[:, axis], num_groups) for axis in range(3)], axis=1)
    mean = total[group[:num_corners]]
    length = np.linalg.norm(mean, axis=1, keepdims=True)
    # On a surface with one side only (a Moebius strip) the two copies meet and cancel.
    cancelled = length <= 1e-6 * np.linalg.norm(weighted, axis=1, keepdims=True)
    own = np.repeat(normals, 3, axis=0)
    return np.divide(mean, length, out=own, where=~cancelled).reshape(-1, 3, 3)


def _windows(mesh: "trimesh.Trimesh", rig: CameraRig, size: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns, for each view, of the rectangle about the projected mesh; outside nothing is seen."""
    pixel, _ = rig.project(np.asarray(mesh.vertices), size)
    # One pixel more on each side covers the rounding.
    low = np.clip(np.floor(pixel.min(axis=1)) - 1, 0, size).astype(int)
    high = np.clip(np.ceil(pixel.max(axis=1)) + 1, 0, size).astype(int)
    for (left, top), (right, bottom) in zip(low, high, strict=True):
        yield slice(top, bottom), slice(left, right)


def _shade(
    normal: NDArray[np.float32], to_eye: NDArray[np.float32], to_key: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Grey values of R surface points by Phong's reflection model, lit from both sides.

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
    """Dot products (R,) of rows (R, 3)."""
    return np.einsum("rd,rd->r", one, other)
