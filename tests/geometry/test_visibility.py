"""Visibility against exact geometry, a float64 ray caster and the measured agreement of the inexact rules."""

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial import ConvexHull

from geometry.shapes import bumpy_sphere, chair, plates, rewound, unit
from pointmcd.geometry import (
    CameraRig,
    RayScene,
    pack_masks,
    render_views,
    rig,
    sample_surface,
    unpack_masks,
    visible_by_depth,
    visible_by_hpr,
    visible_by_ray,
)

CIRCLE = rig("circle12")
# The set-up in which the agreement of depth buffers and hidden point removal with ray casting was measured.
CLOSE = CameraRig(CIRCLE.azimuth_deg, CIRCLE.elevation_deg, 2.2, 60.0)


def ray(mesh, points, cameras, normals=None):
    return unpack_masks(visible_by_ray(mesh, points, cameras, normals), cameras.num_views)


def facing(points, normals, cameras):
    """(P, V) cosine between the normal and the direction to the camera."""
    to_camera = cameras.positions() - points[:, None].astype(np.float64)
    to_camera /= np.linalg.norm(to_camera, axis=2, keepdims=True)
    return np.einsum("pvd,pd->pv", to_camera, normals.astype(np.float64))


def cylinder():
    return trimesh.creation.cylinder(0.5, 1.5)


@given(st.integers(0, 32).flatmap(lambda views: arrays(bool, st.tuples(st.integers(0, 9), st.just(views)))))
def test_masks_round_trip(visible):
    masks = pack_masks(visible)
    assert masks.dtype == np.uint32
    np.testing.assert_array_equal(unpack_masks(masks, visible.shape[1]), visible)
    assert [int(mask) for mask in masks] == [
        sum(1 << view for view in np.flatnonzero(row)) for row in visible
    ]


def test_masks_of_too_many_views():
    with pytest.raises(ValueError, match=r"V <= 32, not \(1, 33\)"):
        pack_masks(np.ones((1, 33), dtype=bool))
    with pytest.raises(ValueError, match="32 views, not 33"):
        unpack_masks(np.zeros(1, dtype=np.uint32), 33)
    assert unpack_masks(np.array([-1], dtype=np.int32), 32).all(), "masks read as int32 work too"


@pytest.mark.parametrize(("distance", "fov"), [(2.2, 60.0), (3.0, 40.0), (5.0, 24.0)])
def test_a_sphere_shows_its_cap(distance, fov):
    """From distance d the cap of points with x . c > 1 / d is seen, (1 - 1/d) / 2 of the sphere."""
    cameras = CameraRig(CIRCLE.azimuth_deg, CIRCLE.elevation_deg, distance, fov)
    mesh = trimesh.creation.icosphere(5)
    points, normals, _ = sample_surface(mesh, 4000, seed=0)
    visible = ray(mesh, points, cameras, normals)
    assert visible.mean() == pytest.approx((1 - 1 / distance) / 2, abs=0.01)
    height = points @ cameras.positions().T / distance - 1 / distance
    # The faces of the icosphere are 0.03 wide: they tilt by up to 0.02 against the sphere.
    assert visible[height > 0.03].all()
    assert not visible[height < -0.03].any()


@pytest.mark.parametrize("make", [trimesh.creation.icosphere, trimesh.creation.box, cylinder])
def test_on_a_convex_mesh_exactly_the_facing_faces_are_seen(make):
    mesh = unit(make())
    points, normals, _ = sample_surface(mesh, 3000, seed=1)
    for cameras in (CIRCLE, rig("dodecahedron20")):
        cosine = facing(points, normals, cameras)
        decided = np.abs(cosine) > 1e-6
        assert decided.mean() > 0.9
        np.testing.assert_array_equal(ray(mesh, points, cameras, normals)[decided], cosine[decided] > 0)
        # Without normals the lift is along the ray: right except very close to an edge or at a grazing angle.
        assert (ray(mesh, points, cameras) == (cosine > 0))[decided].mean() > 0.999


def test_an_open_plate_is_seen_from_both_sides():
    mesh = plates([0.0])
    points, normals, _ = sample_surface(mesh, 100, seed=0)
    assert ray(mesh, points, rig("rings2x8"), normals).all()
    assert ray(mesh, points, rig("rings2x8")).all()


@pytest.mark.parametrize("gap", [0.4, 1e-2, 1e-3])
def test_of_two_plates_the_back_one_is_hidden(gap):
    """Exact answer: the line to the camera leaves the plane of the upper plate within its square, or not."""
    mesh = plates([-gap / 2, gap / 2])
    points, normals, face = sample_surface(mesh, 2000, seed=2)
    to_camera = CIRCLE.positions() - points[:, None].astype(np.float64)
    crossing = points[:, None, :2] + to_camera[..., :2] * (gap / to_camera[..., 2])[..., None]
    clear = (np.abs(crossing) > 0.5).any(axis=2)
    expected = clear | (face >= 2)[:, None]
    near_edge = (np.abs(np.abs(crossing) - 0.5) < 1e-5).any(axis=2)
    for visible in (ray(mesh, points, CIRCLE, normals), ray(mesh, points, CIRCLE)):
        np.testing.assert_array_equal(visible[~near_edge], expected[~near_edge])
    assert not expected.all()


def test_coinciding_sheets_do_not_hide_each_other():
    doubled = plates([0.0, 0.0])
    points, normals, _ = sample_surface(doubled, 200, seed=0)
    grazing = CameraRig((0.0, 45.0, 10.0), (30.0, 0.5, -0.01))
    assert ray(doubled, points, grazing, normals).all()


def test_a_box_in_a_hollow_box_is_never_seen():
    outer, hollow, inner = (trimesh.creation.box([size] * 3) for size in (1.0, 0.98, 0.5))
    mesh = trimesh.util.concatenate((outer, hollow, inner))
    points, normals, face = sample_surface(mesh, 3000, seed=0)
    for lift in (normals, None):
        visible = ray(mesh, points, rig("dodecahedron20"), lift)
        assert not visible[face >= 12].any()
        assert visible[face < 12].any(axis=1).all()


def crossings(mesh, points, face, cameras):
    """(P, V) whether another face than the point's own crosses the segment to the camera, in float64.

    Moeller and Trumbore, Fast, Minimum Storage Ray/Triangle Intersection, 1997.
    """
    corner = mesh.triangles[:, 0]
    one, two = mesh.triangles[:, 1] - corner, mesh.triangles[:, 2] - corner
    hidden = np.zeros((len(points), cameras.num_views), dtype=bool)
    for view, eye in enumerate(cameras.positions()):
        direction = (eye - points)[:, None]
        cross = np.cross(direction, two)
        scale = 1 / np.einsum("fd,pfd->pf", one, cross)
        offset = points[:, None] - corner
        u = np.einsum("pfd,pfd->pf", offset, cross) * scale
        turned = np.cross(offset, one)
        v = np.einsum("pfd,pfd->pf", np.broadcast_to(direction, turned.shape), turned) * scale
        t = np.einsum("fd,pfd->pf", two, turned) * scale
        hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0) & (t < 1)
        hit[np.arange(len(points)), face] = False
        hidden[:, view] = hit.any(axis=1)
    return hidden


def test_concave_shapes_against_a_float64_ray_caster():
    knot = trimesh.util.concatenate(
        [
            trimesh.creation.torus(0.7, 0.2, major_sections=20, minor_sections=10),
            trimesh.creation.torus(0.6, 0.15, major_sections=20, minor_sections=10).apply_transform(
                trimesh.transformations.euler_matrix(1.3, 0.4, 0.2)
            ),
        ]
    )
    mesh = unit(rewound(knot))
    # The scene holds float32: give the oracle the same corners.
    mesh.vertices = mesh.vertices.astype(np.float32)
    points, normals, face = sample_surface(mesh, 500, seed=5)
    cameras = CameraRig((0.0, 77.0, 200.0, 311.0), (30.0, -10.0, 60.0, 0.0))
    expected = ~crossings(mesh, points.astype(np.float64), face, cameras)
    assert 0.2 < expected.mean() < 0.6
    wrong = ray(mesh, points, cameras, normals) != expected
    assert wrong.mean() < 1e-3
    assert (ray(mesh, points, cameras) != expected).mean() < 3e-3


def test_winding_of_mesh_and_normals_does_not_matter_and_results_repeat():
    mesh = bumpy_sphere()
    points, normals, _ = sample_surface(mesh, 1000, seed=0)
    masks = visible_by_ray(mesh, points, CIRCLE, normals)
    signs = np.random.default_rng(0).choice([-1, 1], (1000, 1))
    np.testing.assert_array_equal(visible_by_ray(RayScene(mesh), points, CIRCLE, normals), masks)
    np.testing.assert_array_equal(visible_by_ray(rewound(mesh), points, CIRCLE, normals * signs), masks)
    order = np.random.default_rng(1).permutation(1000)
    np.testing.assert_array_equal(visible_by_ray(mesh, points[order], CIRCLE, normals[order]), masks[order])


@pytest.mark.parametrize(
    ("make", "by_plane", "by_pixel"), [(bumpy_sphere, 0.978, 0.97), (chair, 0.984, 0.96)]
)
def test_depth_buffer_agrees_with_rays(make, by_plane, by_pixel):
    """At least the measured agreement: of the plane seen, and of the nearest pixel."""
    mesh = make()
    scene = RayScene(mesh)
    points, normals, _ = sample_surface(mesh, 10_000, seed=0)
    exact = ray(scene, points, CLOSE, normals)
    views = render_views(scene, CLOSE, 224)
    plane = visible_by_depth(points, CLOSE, views.depth, views.face, scene)
    assert (unpack_masks(plane, 12) == exact).mean() > by_plane
    np.testing.assert_array_equal(visible_by_depth(points, CLOSE, views.depth, views.face, mesh), plane)
    pixel = visible_by_depth(points, CLOSE, views.depth)
    assert (unpack_masks(pixel, 12) == exact).mean() > by_pixel


def test_depth_buffer_on_slanted_plates_is_exact():
    """The plane seen is the point's own: no eps is needed where the pixel's depth wants a wide one."""
    mesh = plates([-0.3, 0.3])
    points, _, face = sample_surface(mesh, 2000, seed=0)
    low = CameraRig((0.0, 45.0), (8.0, 8.0))
    views = render_views(mesh, low, 224, shading="flat")
    upper = face >= 2
    by_plane = visible_by_depth(points, low, views.depth, views.face, mesh, eps=1e-5)
    by_pixel = visible_by_depth(points, low, views.depth, eps=1e-5)
    assert unpack_masks(by_plane[upper], 2).all()
    assert unpack_masks(by_pixel[upper], 2).mean() < 0.8


def test_depth_buffer_refuses_what_does_not_fit():
    points, depth = np.zeros((1, 3)), np.full((12, 8, 8), np.inf, dtype=np.float32)
    assert visible_by_depth(points, CIRCLE, depth).tolist() == [2**12 - 1], "background hides nothing"
    with pytest.raises(ValueError, match=r"V = 12, not \(3, 8, 8\)"):
        visible_by_depth(points, CIRCLE, depth[:3])
    with pytest.raises(ValueError, match="face and mesh go together"):
        visible_by_depth(points, CIRCLE, depth, face=np.zeros((12, 8, 8), dtype=np.int32))
    with pytest.raises(ValueError, match=r"points must be \(P, 3\), not \(3,\)"):
        visible_by_depth(points[0], CIRCLE, depth)


@pytest.mark.parametrize(("make", "agreement"), [(bumpy_sphere, 0.965), (chair, 0.93)])
def test_hpr_of_a_dense_cloud_agrees_with_rays(make, agreement):
    mesh = make()
    points, normals, _ = sample_surface(mesh, 10_000, seed=0)
    visible = unpack_masks(visible_by_hpr(points, CLOSE), 12)
    assert (visible == ray(mesh, points, CLOSE, normals)).mean() > agreement


@pytest.mark.parametrize(("distance", "fov", "share"), [(2.0, 61.0, 0.345), (5.0, 24.0, 0.430)])
def test_hpr_by_the_rule_of_pointvst(distance, fov, share):
    """The visible share of 1024 points on the unit sphere was measured; the true one is (1 - 1/d) / 2."""
    points = np.random.default_rng(0).normal(size=(1024, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    cameras = CameraRig(CIRCLE.azimuth_deg, CIRCLE.elevation_deg, distance, fov)
    visible = unpack_masks(visible_by_hpr(points, cameras, "pointvst"), 12)
    assert visible.mean() == pytest.approx(share, abs=0.01)
    cap = points @ cameras.positions().T / distance > 1 / distance
    assert visible[cap].all(), "on a convex shape nothing visible is lost"


def test_hpr_against_the_definition():
    points = np.random.default_rng(3).normal(size=(300, 3)) * (0.3, 0.2, 0.3)
    eye = CIRCLE.positions()[0]
    offset = points - eye
    norm = np.linalg.norm(offset, axis=1, keepdims=True)
    flipped = offset + 2 * (7 * norm.max() - norm) * offset / norm
    hull = set(ConvexHull(np.vstack((flipped, np.zeros(3)))).vertices) - {300}
    assert set(np.flatnonzero(visible_by_hpr(points, CIRCLE, 7.0) & 1)) == hull


def test_hpr_of_a_plane_seen_edge_on():
    """All flipped points are in one plane with the camera; the nearest side of the square is still seen."""
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (500, 3)) * (1, 1, 0)
    visible = unpack_masks(visible_by_hpr(points, CameraRig((0.0,), (0.0,))), 1)[:, 0]
    assert 0 < visible.sum() < 500
    assert visible[points[:, 0].argmax()]


@pytest.mark.parametrize(
    ("points", "radius", "reason"),
    [
        (np.eye(3), 100.0, "4 points or more, got 3"),
        (np.ones((9, 2)), 100.0, r"points must be \(P, 3\)"),
        (np.ones((9, 3)), 0.5, "1 or more, in units of the largest distance, got 0.5"),
        (np.ones((9, 3)), "katz", "a number or 'pointvst', not 'katz'"),
    ],
)
def test_hpr_refuses(points, radius, reason):
    with pytest.raises(ValueError, match=reason):
        visible_by_hpr(points, CIRCLE, radius)
