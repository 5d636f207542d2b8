"""Pictures against exact geometry: depth, faces, silhouettes and the laws of shading."""

import itertools

import numpy as np
import pytest
import trimesh

from geometry.shapes import bumpy_sphere, plates, rewound, unit
from pointmcd.geometry import CameraRig, RayScene, render_views, rig
from pointmcd.geometry.mesh import face_geometry
from pointmcd.geometry.render import corner_normals

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


@pytest.mark.parametrize("name", ["circle12", "rings2x8", "dodecahedron20"])
def test_nothing_is_lost_outside_the_traced_window(name):
    """The same as tracing every pixel, for a thin shape that lies askew."""
    mesh = trimesh.creation.box(
        (1.6, 0.1, 0.05), transform=trimesh.transformations.euler_matrix(0.4, 0.7, 1.1)
    )
    unit(mesh)
    views = render_views(mesh, rig(name), 40)
    origins, directions = rig(name).rays(40)
    everywhere = np.broadcast_to(origins[:, None, None], directions.shape)
    hits = RayScene(mesh).first_hit(everywhere.reshape(-1, 3), directions.reshape(-1, 3))
    np.testing.assert_array_equal(views.face, hits.face.reshape(views.face.shape))
    np.testing.assert_array_equal(views.depth, hits.distance.reshape(views.depth.shape))


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


def test_rendering_repeats():
    mesh = bumpy_sphere()
    one, other = (render_views(shape, VIEWS, 32) for shape in (mesh, RayScene(mesh)))
    for name in ("images", "depth", "face"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_corner_normals_of_a_sphere_are_radial():
    mesh = rewound(trimesh.creation.icosphere(3))
    normals = corner_normals(mesh, 40)
    radial = mesh.vertices[mesh.faces]
    assert np.abs(np.einsum("fcd,fcd->fc", normals, radial)).min() > 0.999


def test_corner_normals_keep_creases_and_smooth_a_cylinder():
    box = rewound(trimesh.creation.box())
    np.testing.assert_allclose(corner_normals(box, 40), np.repeat(face_geometry(box)[0][:, None], 3, axis=1))
    cylinder = rewound(trimesh.creation.cylinder(1, 2, sections=16))
    normals, own = corner_normals(cylinder, 40), face_geometry(cylinder)[0]
    cap = np.abs(own[:, 2]) > 0.5
    np.testing.assert_allclose(np.abs(normals[cap, :, 2]), 1, atol=1e-12)
    radial = (cylinder.vertices * (1, 1, 0))[cylinder.faces[~cap]]
    along = np.abs(np.einsum("fcd,fcd->fc", normals[~cap], radial))
    # A side of a 16-gon turns by 22.5 degrees; area weights are not symmetric about a corner (one or two
    # triangles).
    assert along.min() > np.cos(np.radians(22.5 / 4))
    assert np.abs(np.einsum("fd,fd->f", own[~cap], radial[:, 0])).max() < np.cos(np.radians(11.2))


def test_corner_normals_have_the_sign_of_their_face():
    mesh = rewound(bumpy_sphere())
    assert (np.einsum("fcd,fd->fc", corner_normals(mesh, 40), face_geometry(mesh)[0]) > 0).all()


def test_corner_normals_of_doubled_sheets_are_those_of_the_single_sheet():
    single = trimesh.creation.icosphere(2)
    faces = np.stack((single.faces, single.faces[:, ::-1]), axis=1).reshape(-1, 3)
    doubled = trimesh.Trimesh(single.vertices, faces, process=False)
    normals = corner_normals(doubled, 40)
    np.testing.assert_allclose(normals[::2], corner_normals(single, 40), atol=1e-12)
    np.testing.assert_allclose(normals[1::2, ::-1], -normals[::2], atol=1e-12)


def test_corner_normals_of_a_blade_stay_sharp():
    """A wedge of 20 degrees: its faces are nearly parallel, and yet their edge is a crease."""
    rise = np.tan(np.radians(10))
    vertices = [[0, 0, 0], [0, 1, 0], [1, 0, rise], [1, 1, rise], [1, 0, -rise], [1, 1, -rise]]
    faces = [[0, 2, 3], [0, 3, 1], [0, 5, 4], [0, 1, 5]]
    blade = rewound(trimesh.Trimesh(vertices, faces, process=False))
    np.testing.assert_allclose(
        corner_normals(blade, 40), np.repeat(face_geometry(blade)[0][:, None], 3, axis=1)
    )


def test_corner_normals_of_a_moebius_strip_are_finite():
    """It has one side only; every vertex still has normals of length 1."""
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    across = np.array([-0.2, 0.2])[:, None]
    radius = 1 + across * np.cos(turn / 2)
    vertices = np.stack(
        (radius * np.cos(turn), radius * np.sin(turn), across * np.sin(turn / 2)), -1
    ).reshape(-1, 3)
    low, high = np.arange(40), np.arange(40) + 40
    next_low, next_high = np.append(low[1:], high[0]), np.append(high[1:], low[0])
    faces = np.concatenate(
        (np.column_stack((low, next_low, high)), np.column_stack((high, next_low, next_high)))
    )
    normals = corner_normals(trimesh.Trimesh(vertices, faces, process=False), 40)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=2), 1)


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
