"""Unprojection, correspondences and overlap against planes, spheres and boxes whose answers are known."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from pointmcd.geometry import CameraRig, render_views, rig
from pointmcd.geometry.correspondence import (
    correspondences,
    grid_pixels,
    overlap,
    project,
    rig_intrinsics,
    unproject,
)

LEVEL = np.eye(4)[None, :3]  # one camera at the origin that looks along z
PINHOLE = np.array(((50.0, 0, 20), (0, 40, 15), (0, 0, 1)))  # for pictures of 40 x 30


def sphere_depth(cameras, size, radius):
    """Exact depths of a sphere about the origin, in float64."""
    origins, directions = (array.astype(np.float64) for array in cameras.rays(size))
    a = (directions**2).sum(-1)
    b = np.einsum("vd,vhwd->vhw", origins, directions)
    c = (origins**2).sum(-1)[:, None, None] - radius**2
    with np.errstate(invalid="ignore"):
        depth = (-b - np.sqrt(b**2 - a * c)) / a
    return np.where(np.isnan(depth), np.inf, depth)


def test_a_wall_is_unprojected_onto_itself():
    points, valid = unproject(np.full((1, 30, 40), 2.0), PINHOLE, LEVEL, stride=10)
    assert points.shape == (1, 3, 4, 3)
    assert valid.all()
    np.testing.assert_allclose(points[0, 0, 0], ((5.5 - 20) / 50 * 2, (5.5 - 15) / 40 * 2, 2))
    np.testing.assert_allclose(points[..., 2], 2)


def test_what_was_not_measured_is_not_valid():
    depth = np.array([[[1, np.inf], [0, np.nan]]])
    points, valid = unproject(depth, PINHOLE, LEVEL)
    assert valid.tolist() == [[[True, False], [False, False]]]
    assert (points[~valid] == 0).all()


def test_sphere_points_lie_on_the_sphere():
    cameras = rig("dodecahedron20")
    depth = sphere_depth(cameras, 32, 0.8)
    points, valid = unproject(depth, rig_intrinsics(cameras, 32), cameras.world_to_camera())
    assert 0.4 < valid.mean() < 0.6
    np.testing.assert_allclose(np.linalg.norm(points[valid], axis=-1), 0.8, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-180, 180), st.floats(-90, 90)), min_size=1, max_size=3),
    st.integers(2, 9),
    st.integers(1, 4),
    st.integers(0, 2**32 - 1),
)
def test_round_trip_pixel_point_pixel(angles, size, stride, seed):
    cameras = CameraRig(*zip(*angles, strict=True))
    intrinsics = rig_intrinsics(cameras, size)
    if stride // 2 >= size:
        return
    depth = np.random.default_rng(seed).uniform(2, 4, (len(angles), size, size))
    points, valid = unproject(depth, intrinsics, cameras.world_to_camera(), stride)
    nodes = grid_pixels(size, stride)
    assert valid.all()
    for view in range(len(angles)):
        pixel, z = project(points[view], intrinsics, cameras.world_to_camera())
        expected = np.stack(np.meshgrid(nodes + 0.5, nodes + 0.5), axis=-1)
        np.testing.assert_allclose(pixel[view], expected, atol=1e-9)
        np.testing.assert_allclose(z[view], depth[view][np.ix_(nodes, nodes)])


def test_project_agrees_with_the_rig_and_refuses_what_is_behind():
    cameras = rig("rings2x8")
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (7, 3))
    pixel, depth = project(points, rig_intrinsics(cameras, 50), cameras.world_to_camera())
    expected_pixel, expected_depth = cameras.project(points, 50)
    np.testing.assert_allclose(pixel, expected_pixel)
    np.testing.assert_allclose(depth, expected_depth)
    pixel, depth = project(np.array([[0.0, 0, -1]]), PINHOLE, LEVEL)
    assert np.isnan(pixel).all()
    assert depth[0, 0] == -1


def test_two_cameras_before_a_wall():
    """The second stands 0.4 to the right of the first: at depth 2 the picture moves by 50 * 0.4 / 2 = 10."""
    moved = LEVEL.copy()
    moved[0, 0, 3] = -0.4
    poses = np.concatenate((LEVEL, moved))
    depth = np.full((2, 30, 40), 2.0)
    pixel, found = correspondences(depth, PINHOLE, poses)
    column = np.arange(40) + 0.5
    np.testing.assert_allclose(pixel[0, 1, ..., 0], np.tile(column - 10, (30, 1)), atol=1e-12)
    np.testing.assert_allclose(pixel[1, 0, ..., 0], np.tile(column + 10, (30, 1)), atol=1e-12)
    np.testing.assert_allclose(pixel[0, 1, ..., 1], pixel[0, 0, ..., 1])
    assert (found[0, 1] == (column > 10)).all()
    assert (found[1, 0] == (column < 30)).all()
    np.testing.assert_allclose(overlap(found, np.ones((2, 30, 40), bool)), [[1, 0.75], [0.75, 1]])


def test_sphere_overlap_is_the_visible_share():
    """A point of the unit ball's sphere is seen by b exactly where it faces b's camera: p . c_b >= r^2."""
    cameras = rig({"azimuth_deg": [0, 60, 180], "elevation_deg": 0})
    depth = sphere_depth(cameras, 200, 0.8)
    matrices = rig_intrinsics(cameras, 200), cameras.world_to_camera()
    points, valid = unproject(depth, *matrices, stride=2)
    _, found = correspondences(depth, *matrices, stride=2, eps=0.04)
    faces = np.einsum("vhwd,ud->vuhw", points, cameras.positions()) - 0.8**2
    # Close to the horizon the depth changes by more than eps within a pixel.
    certain = valid[:, None] & (np.abs(faces) > 0.4)
    assert (found == (faces > 0))[certain].all()
    shares = overlap(found, valid)
    np.testing.assert_allclose(np.diag(shares), 1)
    assert shares[0, 1] == pytest.approx(shares[1, 0], abs=0.01)
    assert 0.3 < shares[0, 1] < 0.7
    assert shares[0, 2] == 0


def test_what_is_in_front_hides():
    """A small plate between a large one and the second camera: the first camera sees what is behind it."""
    large = trimesh.creation.box((0.02, 1.2, 1.2))
    small = trimesh.creation.box((0.02, 0.3, 0.3)).apply_translation((0.5, 0, 0))
    cameras = rig({"azimuth_deg": [0, 50], "elevation_deg": 0})
    size = 120
    depth = render_views(trimesh.util.concatenate([large, small]), cameras, size).depth
    matrices = rig_intrinsics(cameras, size), cameras.world_to_camera()
    points, valid = unproject(depth, *matrices)
    _, found = correspondences(depth, *matrices)
    behind = valid[1] & (np.abs(points[1, ..., 0] - 0.01) < 1e-4)
    # The ray from the first camera, at (3, 0, 0), passes the small plate's front (x = 0.51).
    at_plate = points[1, ..., 1:] * ((3 - 0.51) / (3 - points[1, ..., :1]))
    inside = np.abs(at_plate).max(axis=-1)
    hidden, open_ = behind & (inside < 0.13), behind & (inside > 0.17)
    assert hidden.sum() > 100
    assert open_.sum() > 1000
    assert not found[1, 0][hidden].any()
    assert found[1, 0][open_].mean() > 0.99


def test_nothing_measured_overlaps_with_nothing():
    cameras = rig("circle12")
    depth = np.full((12, 8, 8), np.inf)
    _, found = correspondences(depth, rig_intrinsics(cameras, 8), cameras.world_to_camera())
    assert not found.any()
    assert (overlap(found, np.zeros((12, 8, 8), bool)) == 0).all()


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: grid_pixels(4, 8), "stride 8 leaves no grid node in a picture of 4 pixels"),
        (lambda: unproject(np.ones((2, 4, 4)), PINHOLE, LEVEL), r"world_to_camera \(V, 3, 4\)"),
        (lambda: unproject(np.ones((1, 4, 4)), np.eye(4), LEVEL), r"intrinsics must be \(3, 3\) or"),
    ],
)
def test_bad_input_says_why(call, reason):
    with pytest.raises(ValueError, match=reason):
        call()
