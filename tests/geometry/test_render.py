"""Pictures against exact geometry: depth, faces, silhouettes and the laws of shading."""

import itertools

import numpy as np
import pytest
import trimesh

from geometry.shapes import bumpy_sphere, chair, plates, rewound, unit
from pointmcd.geometry import CameraRig, RayScene, render_views, rig
from pointmcd.geometry.corner_normals import corner_normals
from pointmcd.geometry.correspondence import rig_intrinsics
from pointmcd.geometry.mesh import face_geometry
from pointmcd.geometry.raster import look
from pointmcd.geometry.render import blended, light, light_hits

VIEWS = CameraRig((10.0, 130.0, 250.0, 0.0), (30.0, -20.0, 0.0, 90.0))


def box_depth(half, cameras, size):
    """Depth of an axis-aligned box by the slab method, float64; inf where the ray misses."""
    origins, directions = (rays.astype(np.float64) for rays in cameras.rays(size))
    with np.errstate(divide="ignore"):
        one = (-half - origins[:, None, None]) / directions
        other = (half - origins[:, None, None]) / directions
    enter, leave = np.minimum(one, other).max(axis=-1), np.maximum(one, other).min(axis=-1)
    return np.where(enter <= leave, enter, np.inf)


def test_depth_and_silhouette_of_a_box():
    half = np.array([0.5, 0.3, 0.6])
    views = render_views(trimesh.creation.box(2 * half), VIEWS, 64)
    expected = box_depth(half, VIEWS, 64)
    assert views.depth.dtype == np.float32
    assert np.isfinite(expected).mean() > 0.1
    np.testing.assert_array_equal(np.isfinite(views.depth), np.isfinite(expected))
    np.testing.assert_allclose(views.depth, expected, atol=2e-6)
    np.testing.assert_array_equal(views.face >= 0, np.isfinite(views.depth))
    assert views.face.dtype == np.int32
    assert (views.images[views.face < 0] == 255).all()
    assert (views.images[views.face >= 0] < 250).all()


def test_hit_points_lie_on_their_faces_and_project_to_their_pixels():
    mesh = bumpy_sphere()
    views = render_views(mesh, VIEWS, 48)
    origins, directions = VIEWS.rays(48)
    normals = face_geometry(mesh)[0]
    for view in range(VIEWS.num_views):
        row, column = np.nonzero(views.face[view] >= 0)
        depth, face = views.depth[view, row, column], views.face[view, row, column]
        points = origins[view] + depth[:, None].astype(np.float64) * directions[view, row, column]
        off_plane = np.einsum("rd,rd->r", points - mesh.vertices[mesh.faces[face, 0]], normals[face])
        assert np.abs(off_plane).max() < 5e-6
        weights = trimesh.triangles.points_to_barycentric(mesh.triangles[face], points)
        assert weights.min() > -1e-3
        pixel, back = VIEWS.project(points, 48)
        np.testing.assert_allclose(pixel[view], np.column_stack((column, row)) + 0.5, atol=1e-4)
        np.testing.assert_allclose(back[view], depth, atol=1e-5)


def test_the_nearer_of_two_plates_is_seen():
    below, above = plates([-0.3, 0.3]), CameraRig((0.0, 0.0), (90.0, -90.0))
    views = render_views(below, above, 32)
    assert set(np.unique(views.face[0])) == {-1, 2, 3}
    assert set(np.unique(views.face[1])) == {-1, 0, 1}
    np.testing.assert_allclose(views.depth[:, 16, 16], 2.7, atol=1e-6)


def test_grey_images_of_the_asked_size_and_background():
    mesh = trimesh.creation.icosphere(2)
    for background, size in itertools.product((0, 255), (1, 17)):
        views = render_views(mesh, rig("rings2x8"), size, background=background)
        assert views.images.shape == (16, size, size, 3)
        assert views.images.dtype == np.uint8
        assert (views.images == views.images[..., :1]).all()
        assert (views.images[views.face < 0] == background).all()


def test_flat_shading_has_one_grey_a_distant_face_and_is_brighter_towards_the_viewer():
    far = CameraRig((0.0, 0.0), (90.0, 0.0), 200.0, 0.6)
    plate = plates([0.0])
    tilted = plate.copy().apply_transform(trimesh.transformations.rotation_matrix(0.5, (1, 1, 0)))
    facing, away = (render_views(mesh, far, 32, shading="flat") for mesh in (plate, tilted))
    seen = facing.images[0][facing.face[0] >= 0]
    assert np.ptp(seen.astype(int)) <= 1
    assert seen.mean() > away.images[0][away.face[0] >= 0].mean() + 5
    assert facing.face[1].max() == -1, "edge on, a plate is not seen"


@pytest.mark.parametrize("shading", ["flat", "smooth"])
def test_winding_does_not_matter(shading):
    # Turned, so that no ray passes exactly through an edge.
    turn = trimesh.transformations.euler_matrix(0.3, 0.4, 0.5)
    mesh = unit(trimesh.creation.torus(0.7, 0.25, transform=turn))
    one, other = (render_views(shape, VIEWS, 64, shading=shading) for shape in (mesh, rewound(mesh)))
    np.testing.assert_array_equal(one.face, other.face)
    difference = np.abs(one.images.astype(int) - other.images)
    # Swapped corners change the last bits of barycentric weights, and so at most one grey level.
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


@pytest.mark.parametrize("shading", ["flat", "smooth"])
def test_light_is_that_of_the_plain_form(shading):
    mesh = chair()
    normals = corner_normals(mesh, 40) if shading == "smooth" else face_geometry(mesh)[0][:, None]
    normals = normals.astype(np.float32)
    seen = look(RayScene(mesh), rig_intrinsics(VIEWS, 64), VIEWS.world_to_camera(), (64, 64))
    ours = light(seen, normals, VIEWS, 200)
    plain = light_hits(seen, lambda hits, _: blended(normals, hits), VIEWS, 200)
    difference = np.abs(ours.astype(int) - plain)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001
    assert (ours[seen.face < 0] == 200).all()


def test_rendering_repeats():
    mesh = bumpy_sphere()
    one, other = (render_views(shape, VIEWS, 32) for shape in (mesh, RayScene(mesh)))
    for name in ("images", "depth", "face"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"size": 0}, "size must be positive, got 0"),
        ({"shading": "cel"}, "'smooth' or 'flat', not 'cel'"),
        ({"background": 256}, r"0\.\.255, got 256"),
    ],
)
def test_bad_options_say_why(values, reason):
    with pytest.raises(ValueError, match=reason):
        render_views(trimesh.creation.box(), rig("circle12"), **{"size": 8, **values})


def test_a_mesh_outside_the_unit_ball_is_refused():
    with pytest.raises(ValueError, match=r"unit ball is needed \(see normalize\); its radius is 1.732"):
        RayScene(trimesh.creation.box((2, 2, 2)))
    with pytest.raises(ValueError, match="unit ball"):
        RayScene(trimesh.Trimesh())


def test_a_face_of_vertices_that_are_not_there_is_refused():
    for corner in (-1, 4):
        faces = [[0, 1, 2], [1, 2, corner]]
        mesh = trimesh.Trimesh(np.eye(3), faces, process=False, validate=False)
        with pytest.raises(ValueError, match="names a vertex that is not among the 3"):
            RayScene(mesh)
