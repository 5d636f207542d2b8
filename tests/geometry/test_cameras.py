"""Rigs stand where they should, and projection and rays are each other's inverse."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointmcd.geometry import CameraRig, rig

NAMES = ("circle12", "rings2x8", "dodecahedron20", "fibonacci180")
rigs = st.builds(
    lambda angles, distance, fov: CameraRig(*zip(*angles, strict=True), distance, fov),
    st.lists(st.tuples(st.floats(-360, 360), st.floats(-90, 90)), min_size=1, max_size=4),
    st.floats(1.6, 20),
    st.floats(80, 120),
)


def test_circle12():
    position = rig("circle12").positions()
    assert position.shape == (12, 3)
    np.testing.assert_allclose(position[:, 2], 1.5)
    np.testing.assert_allclose(position[0], (1.5 * 3**0.5, 0, 1.5))
    np.testing.assert_allclose(position[3], (0, 1.5 * 3**0.5, 1.5), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(position, axis=1), 3)


def test_rings2x8():
    position = rig("rings2x8").positions()
    np.testing.assert_allclose(position[:8] * (1, 1, -1), position[8:])
    np.testing.assert_allclose(position[:8, 2], 1.5)


def test_dodecahedron20_is_a_regular_dodecahedron():
    position = rig("dodecahedron20").positions() / 3
    apart = np.linalg.norm(position[:, None] - position, axis=2)
    # Distances between the corners of a dodecahedron of radius 1: the edge and four more, each so often a
    # corner.
    edge = 4 / (3**0.5 * (1 + 5**0.5))
    golden = (1 + 5**0.5) / 2
    expected = np.repeat(
        [0, edge, edge * golden, edge * 2**0.5 * golden, edge * golden**2, 2], [1, 3, 6, 6, 3, 1]
    )
    np.testing.assert_allclose(np.sort(apart, axis=1), np.tile(expected, (20, 1)), atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_the_unit_ball_fills_the_picture(name):
    sphere = np.random.default_rng(0).normal(size=(2000, 3))
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    pixel, depth = rig(name).project(sphere, 100)
    assert pixel.min() > 0
    assert pixel.max() < 100
    assert pixel.max() - pixel.min() > 95
    assert depth.min() >= 2
    assert depth.max() <= 4


def test_pictures_are_upright_and_not_mirrored():
    """A camera on the x axis has y to its right and z above."""
    pixel, depth = CameraRig((0.0,), (0.0,)).project(np.array([[0, 0.5, 0], [0, 0, 0.5], [0.5, 0, 0]]), 64)
    assert pixel[0, 0, 0] > 32
    assert pixel[0, 0, 1] == pytest.approx(32)
    assert pixel[0, 1, 1] < 32
    np.testing.assert_allclose(depth[0], (3, 3, 2.5))


@pytest.mark.parametrize("count", [12, 180])
def test_fibonacci_directions_are_spread_evenly(count):
    position = rig(f"fibonacci{count}").positions() / 3
    np.testing.assert_allclose(position[:, 2], 1 - (2 * np.arange(count) + 1) / count)
    apart = np.linalg.norm(position[:, None] - position, axis=2) + 2 * np.eye(count)
    # Nearest neighbours of the lattice are about 3.09 / sqrt(N) apart; of a hexagonal one it would be 3.81.
    np.testing.assert_allclose(apart.min() * count**0.5, 3.09, atol=0.01)
    assert (apart.min(1) * count**0.5 < 3.6).all()


@given(rigs, st.integers(1, 9), st.floats(0.5, 5))
def test_points_on_the_rays_project_to_the_pixel_centres(cameras, size, depth):
    origins, directions = cameras.rays(size)
    assert (origins.dtype, directions.dtype) == (np.float32, np.float32)
    assert directions.shape == (cameras.num_views, size, size, 3)
    row, column = np.mgrid[:size, :size] + 0.5
    for view in range(cameras.num_views):
        points = origins[view].astype(np.float64) + depth * directions[view].astype(np.float64)
        pixel, back = cameras.project(points.reshape(-1, 3), size)
        np.testing.assert_allclose(pixel[view].reshape(size, size, 2), np.stack((column, row), -1), atol=1e-3)
        np.testing.assert_allclose(back[view], depth, rtol=1e-4)


@given(rigs)
def test_world_to_camera_is_rigid_and_agrees_with_project(cameras):
    rotation, shift = np.split(cameras.world_to_camera(), [3], axis=2)
    identity = np.broadcast_to(np.eye(3), rotation.shape)
    np.testing.assert_allclose(rotation @ rotation.transpose(0, 2, 1), identity, atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotation), 1)
    np.testing.assert_allclose(rotation @ cameras.positions()[..., None] + shift, 0, atol=1e-12)
    point = np.array([[0.1, -0.3, 0.2]])
    pixel, depth = cameras.project(point, 10)
    camera = rotation @ point[0] + shift[..., 0]
    np.testing.assert_allclose(depth[:, 0], camera[:, 2])
    focal = 5 / np.tan(np.radians(cameras.fov_deg) / 2)
    np.testing.assert_allclose(pixel[:, 0], 5 + focal * camera[:, :2] / camera[:, 2:])


@pytest.mark.parametrize("name", NAMES)
def test_dict_round_trip(name):
    cameras = rig(name)
    assert rig(json.loads(json.dumps(cameras.to_dict()))) == cameras


def test_explicit_angles_take_single_numbers_and_defaults():
    assert rig({"azimuth_deg": [0, 90], "elevation_deg": 20}) == CameraRig(
        (0.0, 90.0), (20.0, 20.0), 3.0, 40.0
    )
    assert rig({"azimuth_deg": 10, "elevation_deg": [-90, 90]}).num_views == 2


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ("circle13", "unknown camera rig 'circle13'; known are circle12"),
        ({"azimuth_deg": [0]}, "needs elevation_deg"),
        ({"azimuth_deg": [0], "elevation_deg": [0], "fov": 3}, "has no fov; it takes azimuth_deg"),
        ({"azimuth_deg": [0, 1], "elevation_deg": [0, 1, 2]}, "shape mismatch"),
        ({"azimuth_deg": [], "elevation_deg": []}, "at least one"),
        ({"azimuth_deg": [float("nan")], "elevation_deg": [0]}, "azimuths must be finite"),
        ({"azimuth_deg": [0], "elevation_deg": [91]}, r"elevations must be in \[-90, 90\]"),
        ({"azimuth_deg": [0], "elevation_deg": [0], "fov_deg": 180}, r"fov_deg must be in \(0, 180\)"),
        ({"azimuth_deg": [0], "elevation_deg": [0], "distance": 2, "fov_deg": 50}, "does not fit"),
        ({"azimuth_deg": [0], "elevation_deg": [0], "distance": float("nan")}, "does not fit"),
    ],
)
def test_bad_rigs_say_why(values, reason):
    with pytest.raises(ValueError, match=reason):
        rig(values)
