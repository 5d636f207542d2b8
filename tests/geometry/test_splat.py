"""Splats of clouds against the exact pictures and visibility of the surfaces that the points are from."""

import numpy as np
import pytest
import trimesh

from geometry.shapes import bumpy_sphere, chair, plates
from pointmcd.geometry import (
    CameraRig,
    MeshError,
    Splats,
    render_views,
    sample_surface,
    splat_views,
    unpack_masks,
    visible_by_hpr,
    visible_by_ray,
    visible_by_splats,
)

VIEWS = CameraRig((10.0, 130.0, 250.0, 0.0), (30.0, -20.0, 0.0, 90.0))


def overlap(one, other):
    """Intersection over union of two silhouettes."""
    one, other = np.isfinite(one), np.isfinite(other)
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("estimated", [False, True])
def test_a_sphere_of_points_looks_like_the_sphere(estimated):
    points = np.random.default_rng(0).normal(size=(4000, 3))
    points *= 0.9 / np.linalg.norm(points, axis=1, keepdims=True)
    views = splat_views(points, None if estimated else points, VIEWS, 64)
    # The sphere by the quadratic formula.
    origins, directions = (rays.astype(np.float64) for rays in VIEWS.rays(64))
    a = (directions**2).sum(-1)
    b = np.einsum("vhwd,vd->vhw", directions, origins)
    c = (origins**2).sum(-1)[:, None, None] - 0.81
    with np.errstate(invalid="ignore"):
        exact = (-b - np.sqrt(b**2 - a * c)) / a
    exact[np.isnan(exact)] = np.inf
    assert overlap(views.depth, exact) > 0.98
    both = np.isfinite(views.depth) & np.isfinite(exact)
    assert np.abs(views.depth[both] - exact[both]).mean() < 0.02
    # The far side shines through no more than a pixel in five hundred.
    assert (np.abs(views.depth - exact)[:, 16:48, 16:48] > 0.1).mean() < 0.002
    # One sphere is lit like the other.
    sphere = render_views(trimesh.creation.icosphere(4, 0.9), VIEWS, 64)
    grey, wanted = views.images[both, 0].astype(float), sphere.images[both, 0].astype(float)
    assert np.corrcoef(grey, wanted)[0, 1] > 0.98


@pytest.mark.parametrize(("draw", "least"), [(bumpy_sphere, 0.93), (chair, 0.9)])
def test_clouds_of_meshes_look_like_the_meshes(draw, least):
    mesh = draw()
    points, normals, _ = sample_surface(mesh, 5000, 0)
    exact, views = render_views(mesh, VIEWS, 64), splat_views(points, normals, VIEWS, 64)
    assert overlap(views.depth, exact.depth) > least
    both = np.isfinite(views.depth) & np.isfinite(exact.depth)
    assert np.median(np.abs(views.depth[both] - exact.depth[both])) < 0.015
    assert np.corrcoef(views.images[both, 0], exact.images[both, 0])[0, 1] > 0.75


def test_a_pixel_belongs_to_a_point_near_it():
    points, normals, _ = sample_surface(bumpy_sphere(), 2000, 0)
    splats = Splats(points, normals)
    views = splat_views(splats, None, VIEWS, 48)
    view, row, column = np.nonzero(views.face >= 0)
    np.testing.assert_array_equal(views.face >= 0, np.isfinite(views.depth))
    assert views.face.max() < 2000
    pixel, _ = VIEWS.project(points, 48)
    centre = np.column_stack((column, row)) + 0.5
    away = np.linalg.norm(pixel[view, views.face[view, row, column]] - centre, axis=1)
    assert away.max() < 3 * splats.spacing * VIEWS.focal(48) / 2


def test_the_sign_and_length_of_normals_do_not_matter():
    points, normals, _ = sample_surface(bumpy_sphere(), 1000, 0)
    factor = np.random.default_rng(0).choice([-2.0, -1.0, 0.5, 1.0], (1000, 1))
    one, other = (splat_views(points, given, VIEWS, 32) for given in (normals, factor * normals))
    np.testing.assert_allclose(one.depth, other.depth, atol=1e-5)
    # Neighbours at the very limit of what is blended may come or go.
    assert (np.abs(one.images.astype(int) - other.images) <= 1).mean() > 0.99


def test_unusable_normals_are_estimated():
    points, normals, _ = sample_surface(bumpy_sphere(), 1000, 0)
    broken = normals.copy()
    broken[::7], broken[1::7] = 0, np.nan
    splats = Splats(points, broken)
    assert np.isfinite(splats.normals).all()
    np.testing.assert_allclose(np.linalg.norm(splats.normals, axis=1), 1, atol=1e-6)
    assert (np.abs(np.einsum("nd,nd->n", splats.normals, normals)) > 0.9).mean() > 0.97


def test_of_two_plates_the_nearer_is_seen():
    points, normals, _ = sample_surface(plates((-0.4, 0.4)), 3000, 0)
    above = CameraRig((0.0,), (90.0,))
    masks = visible_by_splats(Splats(points, normals), above)
    upper = points[:, 2] > 0
    assert (masks[upper] == 1).all()
    # At the rim the lower plate shows: it looks smaller, but the upper one's ellipses end before its edge.
    inner = np.abs(points[:, :2]).max(axis=1) < 0.4
    assert (masks[~upper & inner] == 0).all()
    depth = splat_views(points, normals, above, 33).depth
    assert depth[0, 16, 16] == pytest.approx(2.6, abs=1e-5)


@pytest.mark.parametrize(("draw", "least"), [(bumpy_sphere, 0.95), (chair, 0.9)])
def test_visibility_agrees_with_ray_casting(draw, least):
    mesh = draw()
    points, normals, _ = sample_surface(mesh, 2600, 0)
    exact = unpack_masks(visible_by_ray(mesh, points, VIEWS, normals), 4)
    by_splats = (unpack_masks(visible_by_splats(Splats(points, normals), VIEWS), 4) == exact).mean()
    by_hpr = (unpack_masks(visible_by_hpr(points, VIEWS, 2600**0.5), 4) == exact).mean()
    assert by_splats > least
    assert by_splats > by_hpr - 0.01


def test_rows_are_those_of_the_whole():
    points, normals, _ = sample_surface(chair(), 1000, 0)
    splats = Splats(points, normals)
    rows = np.array([7, 3, 999])
    np.testing.assert_array_equal(
        visible_by_splats(splats, VIEWS, rows), visible_by_splats(splats, VIEWS)[rows]
    )


@pytest.mark.parametrize("count", [4, 5, 17, 18])
def test_few_points(count):
    points = np.random.default_rng(0).normal(size=(count, 3)) / 4
    views = splat_views(np.repeat(points, 3, axis=0), None, VIEWS, 32)
    assert np.isfinite(views.depth).any()


def test_what_makes_no_surface():
    with pytest.raises(MeshError, match="4 different points"):
        Splats(np.repeat(np.eye(3), 9, axis=0))
    with pytest.raises(ValueError, match=r"points must be \(N, 3\)"):
        Splats(np.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"normals must be \(5, 3\)"):
        Splats(np.random.default_rng(0).random((5, 3)), np.ones((4, 3)))
