"""Corruptions: what each does to a cloud, exactly."""

from itertools import pairwise

import numpy as np
import pytest

from pointmcd.evaluation.corruptions import CORRUPTIONS, camera, generator

DROPPED = {
    "global_dropout": (0.25, 0.375, 0.5, 0.625, 0.75),
    "density_gradient": (0.25, 0.375, 0.5, 0.625, 0.75),
    "local_dropout": tuple(15 * holes / 512 for holes in (2, 3, 5, 7, 10)),  # 30 of 1024 are 15 of 512
    "density": tuple(37 * patches / 512 for patches in (1, 2, 3, 4, 5)),  # three quarters of 50, rounded down
}
ADDED = (512 // 45, 512 // 40, 512 // 35, 512 // 30, 512 // 20)
SEVERITIES = range(5)


@pytest.fixture(scope="module")
def ball():
    """512 points on the unit sphere, which are their own normals."""
    points = np.random.default_rng(0).normal(size=(512, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def corrupt(points, name, severity=0, row=0, seed=0):
    kind = CORRUPTIONS[name]
    return kind.change(points, generator(name, row, seed), kind.levels[severity])


def rows_of(kept, points):
    """Which rows of a cloud are kept; each is one of them, unchanged."""
    distance = np.linalg.norm(kept[:, None] - points, axis=2)
    assert distance.min(1).max() == 0
    return set(distance.argmin(1).tolist())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_same_seed_same_cloud_and_the_given_one_stays(ball, name):
    before = ball.copy()
    first, again = corrupt(ball, name), corrupt(ball, name)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(ball, before)
    for other in (corrupt(ball, name, row=1), corrupt(ball, name, seed=1)):
        assert other.shape != first.shape or not np.array_equal(other, first)


@pytest.mark.parametrize("name", ["rotation_z", "rotation_so3", "tilt"])
def test_rotations_are_rotations(name):
    matrices = [corrupt(np.eye(3), name, row=row) for row in range(200)]
    for matrix in matrices:
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(matrix) == pytest.approx(1)
    z = np.array([matrix[2] for matrix in matrices])
    if name == "rotation_z":
        np.testing.assert_allclose(z, np.tile((0, 0, 1), (200, 1)), atol=1e-12)
        angles = [np.arctan2(matrix[0, 1], matrix[0, 0]) for matrix in matrices]
        assert np.histogram(angles, 4, (-np.pi, np.pi))[0].min() > 30  # all around
    if name == "rotation_so3":  # Archimedes: the height of a uniform point of the sphere is uniform
        assert np.histogram(z[:, 2], 4, (-1, 1))[0].min() > 30
    if name == "tilt":
        assert all(
            matrix[axis, axis] > np.cos(np.radians(5)) ** 2 for matrix in matrices for axis in range(3)
        )


def test_tilt_grows():
    angle = [
        np.degrees(np.arccos((np.trace(corrupt(np.eye(3), "tilt", severity)) - 1) / 2))
        for severity in SEVERITIES
    ]
    assert angle == sorted(angle)
    assert angle[-1] > 15


@pytest.mark.parametrize("name", ["gaussian", "uniform"])
def test_noise_is_the_same_but_larger(ball, name):
    levels = CORRUPTIONS[name].levels
    inner = 0.5 * ball  # where nothing is clipped
    moves = [corrupt(inner, name, severity) - inner for severity in SEVERITIES]
    for move, level in zip(moves, levels, strict=True):
        np.testing.assert_allclose(move / level, moves[0] / levels[0], atol=1e-9)
    scale = np.abs(moves[0]).max() if name == "uniform" else moves[0].std()
    assert scale == pytest.approx(levels[0], rel=0.05)


def test_gaussian_noise_stays_in_the_cube(ball):
    assert np.abs(corrupt(ball, "gaussian", 4)).max() <= 1


def test_background_adds_points_to_all_that_were_there(ball):
    clouds = [corrupt(ball, "background", severity) for severity in SEVERITIES]
    assert tuple(len(cloud) - 512 for cloud in clouds) == ADDED
    for milder, harder in pairwise(clouds):
        np.testing.assert_array_equal(harder[: len(milder)], milder)
    np.testing.assert_array_equal(clouds[0][:512], ball)
    assert np.abs(clouds[-1]).max() <= 1


def test_impulse_moves_some_points_by_a_tenth(ball):
    before: set[int] = set()
    for severity, part in zip(SEVERITIES, (30, 25, 20, 15, 10), strict=True):
        move = corrupt(ball, "impulse", severity) - ball
        rows = np.flatnonzero(move.any(1))
        assert len(rows) == 512 // part
        np.testing.assert_allclose(np.abs(move[rows]), 0.1)
        assert before <= set(rows)
        before = set(rows)


@pytest.mark.parametrize("name", DROPPED)
def test_dropouts_count_and_are_nested(ball, name):
    before = set(range(512))
    for severity, share in zip(SEVERITIES, DROPPED[name], strict=True):
        kept = corrupt(ball, name, severity)
        assert len(kept) == 512 - round(512 * share)
        rows = rows_of(kept, ball)
        assert len(rows) == len(kept)
        assert rows <= before
        before = rows


@pytest.mark.parametrize(("name", "dropped", "patch"), [("local_dropout", 15, 15), ("density", 37, 50)])
def test_one_patch_is_the_nearest_points_of_one_of_them(ball, name, dropped, patch):
    kept = rows_of(CORRUPTIONS[name].change(ball, generator(name, 0, 0), 1), ball)
    gone = set(range(512)) - kept
    assert len(gone) == dropped
    nearest = np.linalg.norm(ball[:, None] - ball, axis=2).argsort(1)[:, :patch]
    assert any(gone <= set(row.tolist()) for row in nearest)


def test_density_gradient_leans_to_one_side(ball):
    mean = corrupt(ball, "density_gradient", 2).mean(0)
    assert np.linalg.norm(mean) > 0.2
    assert np.linalg.norm(corrupt(ball, "global_dropout", 2).mean(0)) < 0.1


@pytest.fixture(scope="module")
def even_ball():
    """2048 points spread evenly over the unit sphere (Fibonacci)."""
    number = np.arange(2048) + 0.5
    height, angle = 1 - number / 1024, np.pi * (1 + np.sqrt(5)) * number
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], 1)


@pytest.mark.parametrize("with_normals", [True, False])
@pytest.mark.parametrize("severity", [0, 3])
def test_occlusion_keeps_only_what_the_camera_sees(even_ball, with_normals, severity):
    """Of a unit sphere a camera at distance 3 sees the points whose cosine to it is above 1/3."""
    kind = CORRUPTIONS["occlusion"]
    sector, normals = kind.levels[severity], even_ball if with_normals else None
    kept = kind.change(even_ball, generator("occlusion", 3, 0), sector, normals=normals)
    (eye,) = camera(generator("occlusion", 3, 0), sector).positions()
    cosine, of_kept = even_ball @ eye / 3, kept @ eye / 3
    assert of_kept.min() > 1 / 3 - 0.15
    assert (of_kept > 1 / 3 + 0.15).sum() == (cosine > 1 / 3 + 0.15).sum()
    assert len(rows_of(kept, even_ball)) == len(kept)


def test_cameras_stand_in_their_sectors():
    for row in range(20):
        for sector in CORRUPTIONS["occlusion"].levels:
            (eye,) = camera(generator("occlusion", row, 0), sector).positions()
            assert np.linalg.norm(eye) == pytest.approx(3)
            assert 30 <= np.degrees(np.arcsin(eye[2] / 3)) <= 60
            azimuth = np.degrees(np.arctan2(eye[1], eye[0]))
            assert abs((azimuth - 72 * sector + 180) % 360 - 180) <= 36


def test_depth_scan_is_the_near_side_of_the_sphere(even_ball):
    kind = CORRUPTIONS["depth_scan"]
    scan = kind.change(even_ball, generator("depth_scan", 0, 0), 2, normals=even_ball)
    (eye,) = camera(generator("depth_scan", 0, 0), 2).positions()
    assert len(scan) > 1000
    radius = np.linalg.norm(scan, axis=1)
    assert np.quantile(np.abs(radius - 1), 0.9) < 0.02  # on the sphere, as far as splats are flat
    assert (scan @ eye / 3 / radius).min() > 1 / 3 - 0.15
