"""Which face a pixel shows: exact cases, a plain loop in float64, and Embree's rays."""

import numpy as np
import pytest
import trimesh

from geometry.shapes import bumpy_sphere, chair, plates, unit
from pointmcd.geometry import CameraRig, RayScene, rig
from pointmcd.geometry.correspondence import rig_intrinsics
from pointmcd.geometry.raster import cast_rays, native, rasterize

BUILT = pytest.mark.skipif(native is None, reason="the C++ kernels were not built")
EDGE = 1e-5  # of a barycentric weight, where float32 rays may take the other side


def of_rig(cameras, size):
    return rig_intrinsics(cameras, size), cameras.world_to_camera(), (size, size)


def calibrated():
    """A wide picture of a lens off the middle, and two poses that are not those of a rig."""
    turn = trimesh.transformations.euler_matrix
    poses = [turn(0.3, 0.2, 0.1), turn(-2.0, 0.4, 1.0)]
    for pose, distance in zip(poses, (2.5, 1.8), strict=True):
        pose[:3, 3] = 0.1, -0.2, distance
    lenses = np.array(
        [[[30.0, 0, 20.5], [0, 37.0, 10], [0, 0, 1]], [[25.0, 0, 15], [0, 25.0, 16], [0, 0, 1]]]
    )
    return lenses, np.stack(poses)[:, :3], (24, 35)


def soup():
    """Faces of all sizes and slants that cut one another."""
    corners = (
        np.random.default_rng(0).normal(size=(40, 1, 3))
        + np.random.default_rng(1).normal(size=(40, 3, 3)) * np.linspace(0.02, 1, 40)[:, None, None]
    )
    mesh = trimesh.Trimesh(corners.reshape(-1, 3), np.arange(120).reshape(40, 3), process=False)
    return unit(mesh)


def plain(scene, intrinsics, world_to_camera, size):
    """The nearest hit by solving for each ray and face, float64."""
    face, depth = np.full((len(world_to_camera), *size), -1), np.full((len(world_to_camera), *size), np.inf)
    intrinsics = np.broadcast_to(intrinsics, (len(face), 3, 3))
    for view, row, column in np.ndindex(face.shape):
        rotation, shift = world_to_camera[view, :, :3], world_to_camera[view, :, 3]
        a, b, c = (scene.mesh.vertices[scene.mesh.faces[:, i]] @ rotation.T + shift for i in range(3))
        ray = np.linalg.solve(intrinsics[view], (column + 0.5, row + 0.5, 1))
        sides = np.stack((b - a, c - a, np.broadcast_to(-ray, a.shape)), axis=-1)
        u, v, t = np.linalg.solve(sides, -a[..., None])[..., 0].T
        hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)
        if hit.any():
            face[view, row, column] = np.where(hit, t, np.inf).argmin()
            depth[view, row, column] = np.where(hit, t, np.inf).min()
    return face, depth


def clearly_different(ours, theirs):
    """Pixels of other faces and depths, but those whose rays pass an edge of one of the faces."""
    with np.errstate(invalid="ignore"):
        other = (ours.face != theirs.face) & ~(np.abs(ours.depth - theirs.depth) < 2e-6)
    weights = (
        np.append(seen.barycentric, 1 - seen.barycentric.sum(-1, keepdims=True), -1)
        for seen in (ours, theirs)
    )
    at_edge = [(seen.face >= 0) & (w.min(-1) < EDGE) for seen, w in zip((ours, theirs), weights, strict=True)]
    return other & ~at_edge[0] & ~at_edge[1]


@BUILT
@pytest.mark.parametrize("cameras", [of_rig(CameraRig((10.0, 130.0), (30.0, -20.0)), 24), calibrated()])
def test_faces_and_depths_are_those_of_a_plain_loop(cameras):
    scene = RayScene(soup())
    seen = rasterize(scene, *cameras)
    face, depth = plain(scene, *cameras)
    assert (face >= 0).mean() > 0.1
    assert (seen.face != face).mean() < 0.002
    same = seen.face == face
    np.testing.assert_allclose(seen.depth[same], depth[same], atol=1e-6)
    assert seen.face.dtype == np.int32
    assert seen.depth.dtype == seen.barycentric.dtype == np.float32


@BUILT
@pytest.mark.parametrize("make", [bumpy_sphere, chair, soup])
@pytest.mark.parametrize("kind", ["rig", "calibrated"])
def test_rays_show_the_same(make, kind):
    scene = RayScene(make())
    cameras = calibrated() if kind == "calibrated" else of_rig(rig("rings2x8"), 40)
    ours, theirs = rasterize(scene, *cameras), cast_rays(scene, *cameras)
    assert not clearly_different(ours, theirs).any()
    same = (ours.face == theirs.face) & (ours.face >= 0)
    assert same.sum() > 0.98 * (ours.face >= 0).sum() > 0
    # Embree's own error at grazing rays is larger than the rasteriser's.
    assert np.quantile(np.abs(ours.depth[same] - theirs.depth[same]), 0.99) < 1e-6
    assert np.abs(ours.barycentric - theirs.barycentric)[same].max() < 1e-2


@BUILT
@pytest.mark.parametrize("name", ["circle12", "rings2x8", "dodecahedron20"])
def test_a_thin_shape_askew_loses_no_pixel(name):
    askew = trimesh.transformations.euler_matrix(0.4, 0.7, 1.1)
    scene = RayScene(unit(trimesh.creation.box((1.6, 0.1, 0.05), transform=askew)))
    ours, theirs = (form(scene, *of_rig(rig(name), 40)) for form in (rasterize, cast_rays))
    np.testing.assert_array_equal(ours.face, theirs.face)
    np.testing.assert_allclose(ours.depth, theirs.depth, atol=1e-5)


@BUILT
def test_pixels_on_an_edge_go_to_the_first_of_its_faces_and_to_no_gap():
    """From above, the diagonal of a square runs through the centres of pixels."""
    scene = RayScene(plates([0.0]))
    seen = rasterize(scene, *of_rig(CameraRig((0.0,), (90.0,)), 32))
    inside = seen.face[0] >= 0
    rows, columns = np.nonzero(inside)
    assert inside[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all()
    on_diagonal = [seen.face[0, i, j] for i in range(32) for j in (i, 31 - i) if inside[i, j]]
    assert set(on_diagonal) == {0, 1}
    np.testing.assert_allclose(seen.depth[0][inside], 3, atol=1e-6)
    twice = trimesh.Trimesh(scene.mesh.vertices, np.concatenate([scene.mesh.faces] * 2), process=False)
    np.testing.assert_array_equal(
        rasterize(RayScene(twice), *of_rig(CameraRig((0.0,), (90.0,)), 32)).face, seen.face
    )


@BUILT
def test_what_reaches_behind_the_camera_is_cut_there():
    """A floor from before the camera to behind it: depths of a plane, and nothing above the horizon."""
    floor = np.array([[-9.0, 0.5, -4], [9, 0.5, -4], [9, 0.5, 40], [-9, 0.5, 40]])
    mesh = trimesh.Trimesh(floor, [[0, 1, 2], [0, 2, 3]], process=False)
    lens, pose = np.array([[8.0, 0, 8], [0, 8, 8], [0, 0, 1]]), np.eye(4)[None, :3]
    seen = rasterize(RayScene(mesh, margin=np.inf), lens, pose, (16, 16))
    rows = (np.arange(16) + 0.5 - 8) / 8
    expected = np.where(rows > 0, 0.5 / np.where(rows > 0, rows, 1), np.inf)
    np.testing.assert_allclose(seen.depth[0], np.broadcast_to(expected[:, None], (16, 16)), rtol=1e-6)


@pytest.mark.parametrize("form", [cast_rays, pytest.param(rasterize, marks=BUILT)])
def test_other_intrinsics_are_refused(form):
    scene, pose = RayScene(plates([0.0])), np.eye(4)[None, :3]
    with pytest.raises(ValueError, match="skew"):
        form(scene, np.array([[8.0, 1, 8], [0, 8, 8], [0, 0, 1]]), pose, (4, 4))
    with pytest.raises(ValueError, match=r"\(3, 3\) or \(V, 3, 3\), not \(2, 2\)"):
        form(scene, np.eye(2), pose, (4, 4))
