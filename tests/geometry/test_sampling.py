"""Samples lie on the surface, are uniform by area and repeat."""

import numpy as np
import pytest
import trimesh

from pointmcd.geometry import MeshError, sample_surface


@pytest.fixture(scope="module")
def torus():
    return trimesh.creation.torus(0.7, 0.2, major_sections=24, minor_sections=12)


def test_points_lie_on_their_faces_with_their_normals(torus):
    points, normals, face = sample_surface(torus, 2000, seed=3)
    assert (points.dtype, normals.dtype, face.dtype) == (np.float32, np.float32, np.int64)
    assert (points.shape, normals.shape, face.shape) == ((2000, 3), (2000, 3), (2000,))
    weights = trimesh.triangles.points_to_barycentric(torus.triangles[face], points, method="cross")
    assert weights.min() > -1e-5
    off_plane = np.einsum("pd,pd->p", points - torus.triangles[face, 0], torus.face_normals[face])
    assert np.abs(off_plane).max() < 1e-6
    np.testing.assert_allclose(normals, torus.face_normals[face], atol=1e-6)


def test_normals_follow_the_winding_of_the_face():
    mesh = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 1]], process=False)
    _, normals, face = sample_surface(mesh, 50, seed=0)
    np.testing.assert_array_equal(normals, np.where(face == 0, 1, -1)[:, None] * [0, 0, 1])


def test_uniform_by_area_over_faces():
    """Counts by face against their shares: chi square with 2 degrees of freedom, 20 is p = 5e-5."""
    vertices = [
        [0, 0, 0],
        [1, 0, 0],
        [0, 1, 0],
        [5, 0, 0],
        [8, 0, 0],
        [5, 1, 0],
        [0, 0, 9],
        [0, 6, 9],
        [1, 0, 9],
    ]
    mesh = trimesh.Trimesh(vertices, np.arange(9).reshape(3, 3), process=False)
    _, _, face = sample_surface(mesh, 100_000, seed=0)
    expected = 100_000 * np.array([1, 3, 6]) / 10
    assert (((np.bincount(face, minlength=3) - expected) ** 2) / expected).sum() < 20


def test_uniform_within_a_triangle():
    """First and second moments of the uniform distribution on the unit right triangle."""
    mesh = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], process=False)
    points = sample_surface(mesh, 200_000, seed=1)[0].astype(np.float64)
    np.testing.assert_allclose(points.mean(axis=0), (1 / 3, 1 / 3, 0), atol=3e-3)
    np.testing.assert_allclose(
        (points.T @ points / len(points))[:2, :2], [[1 / 6, 1 / 12], [1 / 12, 1 / 6]], atol=3e-3
    )


def test_seed_decides(torus):
    first, again, other = (sample_surface(torus, 100, seed)[0] for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert not np.isin(other, first).any()
    assert not np.isin(sample_surface(torus, 100, (7, 1))[0], first).any()


def test_faces_without_area_get_no_points():
    mesh = trimesh.Trimesh(
        [[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 0, 1], [0, 1, 2], [2, 2, 2]], process=False
    )
    assert set(sample_surface(mesh, 100, seed=0)[2]) == {1}


def test_edge_cases(torus):
    assert sample_surface(torus, 0, seed=0)[0].shape == (0, 3)
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        sample_surface(torus, -1, seed=0)
    flat = trimesh.Trimesh([[0, 0, 0], [1, 1, 1], [2, 2, 2]], [[0, 1, 2]], process=False)
    with pytest.raises(MeshError, match="zero area"):
        sample_surface(flat, 1, seed=0)
