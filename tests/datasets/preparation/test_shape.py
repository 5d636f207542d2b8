"""What is done to one shape, against shapes whose answer is known."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import trimesh
from trimesh import creation

from pointmcd.datasets.images import decode_depth, decode_labels, encode_view
from pointmcd.datasets.preparation.shape import PointSettings, Settings, prepare_points, prepare_shape
from pointmcd.datasets.preparation.sources import Shape
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.geometry import (
    CameraRig,
    MeshError,
    RayScene,
    load_mesh,
    normalize,
    sample_surface,
    unpack_masks,
    visible_by_ray,
)

SMALL = PointSettings(num_points=256)
RING = CameraRig((0.0, 90.0, 180.0, 270.0), (30.0,) * 4)
BOX = (2.0, 4.0, 6.0)


def settings(**changes) -> Settings:
    return replace(Settings(SMALL, RING, 32), **changes)


def test_points_lie_on_the_normalised_mesh_in_the_unit_ball():
    mesh = creation.box(BOX)
    mesh.apply_translation((7, -8, 9))
    points = prepare_points(mesh, SMALL)
    half = np.array(BOX) / 2 / np.linalg.norm(np.array(BOX) / 2)
    assert points.dtype == np.float32
    assert points.shape == (256, 3)
    assert (np.abs(points) <= half + 1e-6).all()
    on_a_side = np.abs(np.abs(points) - half) < 1e-6
    assert on_a_side.any(axis=1).all()
    # All six sides are there.
    assert {(axis, points[row, axis] > 0) for row, axis in np.argwhere(on_a_side)} == {
        (axis, sign) for axis in range(3) for sign in (False, True)
    }


def test_every_prefix_spreads_over_the_shape():
    points = prepare_points(creation.icosphere(4), SMALL).astype(np.float64)
    distance = np.linalg.norm(points[:, None] - points, axis=2)
    nearest_before = np.array([distance[row, :row].min() for row in range(1, len(points))])
    assert (np.diff(nearest_before) <= 1e-6).all()


def test_up_axis_of_meshes_and_clouds():
    tall = creation.cylinder(0.1, 2)  # along z
    cloud = trimesh.sample.sample_surface(tall, 600, seed=0)[0]
    turned = {"z": [0, 1, 2], "y": [1, 2, 0], "x": [2, 0, 1]}
    for up, order in turned.items():
        mesh = trimesh.Trimesh(tall.vertices[:, order], tall.faces, process=False)
        for shape in (mesh, cloud[:, order]):
            points = prepare_points(shape, replace(SMALL, up=up))
            assert np.ptp(points, axis=0)[2] > 1.8
            assert np.ptp(points, axis=0)[:2].max() < 0.25


def test_scale_and_place_do_not_matter():
    mesh = creation.torus(2, 0.5)
    moved = mesh.copy()
    moved.vertices = moved.vertices * 37 + (5, -90, 4)
    np.testing.assert_allclose(prepare_points(moved, SMALL), prepare_points(mesh, SMALL), atol=1e-5)


def test_name_and_seed_decide_the_draw():
    mesh = creation.torus(2, 0.5)
    first = prepare_points(mesh, SMALL, "class/a")
    np.testing.assert_array_equal(first, prepare_points(mesh, SMALL, "a"))
    assert not np.array_equal(first, prepare_points(mesh, SMALL, "b"))
    assert not np.array_equal(first, prepare_points(mesh, replace(SMALL, seed=1), "a"))


def test_a_file_gives_the_points_that_the_training_set_has_of_it(tiny_set, tiny_meshes):
    prepared = PreparedSet(tiny_set)
    wanted = PointSettings(**prepared.manifest["points"])
    split = prepared.split("train")
    for row in (0, 11, 20):
        stem = split.names[row].split("/")[1]
        (path,) = tiny_meshes.rglob(f"{stem}.off")
        np.testing.assert_array_equal(prepare_points(load_mesh(path), wanted, stem), split.points[row])


def test_cloud_keeps_its_rows_together():
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(900, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    # Points of the unit sphere are their own normals, in whatever order and axes.
    normals[:6] = np.concatenate([np.eye(3), -np.eye(3)])
    shape = Shape(points=normals, normals=normals, point_parts=(normals[:, 1] > 0).astype(np.uint8))
    made = prepare_shape(shape, Settings(replace(SMALL, up="y"), None, None, visibility="none"), "s").arrays
    np.testing.assert_allclose(made["points"], made["normals"], atol=1e-6)
    np.testing.assert_array_equal(made["parts"], made["points"][:, 2] > 0)
    assert len(np.unique(made["points"], axis=0)) == 256


def test_a_small_cloud_is_repeated():
    cloud = np.random.default_rng(0).normal(size=(100, 3))
    points = prepare_points(cloud, SMALL)
    np.testing.assert_array_equal(points[100:200], points[:100])
    assert len(np.unique(points, axis=0)) == 100


@pytest.mark.parametrize(
    ("cloud", "reason"),
    [
        (np.zeros((0, 3)), "no points"),
        (np.full((5, 3), np.nan), "not finite"),
        (np.ones((5, 3)), "single point"),
        (np.ones(5), "shape"),
        (np.ones((5, 2)), "shape"),
    ],
)
def test_unusable_clouds(cloud, reason):
    with pytest.raises(MeshError, match=reason):
        prepare_points(cloud, SMALL)


def test_parts_follow_their_faces():
    mesh = creation.box(BOX)
    upward = mesh.face_normals[:, 2] > 0.5
    made = prepare_shape(Shape(mesh=mesh, face_parts=upward.astype(np.uint8)), settings(), "box").arrays
    top = made["points"][:, 2].max()
    np.testing.assert_array_equal(made["parts"], made["points"][:, 2] > top - 1e-6)
    assert 0 < made["parts"].sum() < 256
    assert made["parts"].dtype == np.uint16


def test_label_images_and_depths_of_a_box():
    half = np.array(BOX) / 2 / np.linalg.norm(np.array(BOX) / 2)
    mesh = creation.box(BOX)
    upward = (mesh.face_normals[:, 2] > 0.5).astype(np.int64)
    front_and_top = CameraRig((0.0, 0.0), (0.0, 90.0))
    wanted = settings(rig=front_and_top, num_parts=2, depths=True)
    made = prepare_shape(Shape(mesh=mesh, face_parts=upward), wanted, "box")
    front, top = (decode_labels(np.frombuffer(image, np.uint8)) for image in made.images["part_views"])
    assert set(np.unique(front)) == {0, 2}  # the side alone, and background
    assert set(np.unique(top)) == {1, 2}
    near, far = wanted.depth_range
    assert (near, far) == (2, 4)
    for view, (labels, axis) in enumerate(((front, 0), (top, 2))):
        depth = decode_depth(np.frombuffer(made.images["depths"][view], np.uint8), near, far)
        np.testing.assert_array_equal(np.isinf(depth), labels == 2)
        np.testing.assert_allclose(depth[labels != 2], 3 - half[axis], atol=2e-5)
    unlabelled = prepare_shape(Shape(mesh=mesh), settings(), "box")
    assert list(unlabelled.images) == ["views"]


@pytest.mark.parametrize(("test", "least"), [("ray", 0.93), ("depth", 0.8), ("hpr", 0.85)])
def test_a_cloud_is_seen_as_its_surface_is(test, least):
    mesh = creation.torus(2, 0.6)
    points, normals, _ = sample_surface(mesh, 2500, 0)
    parts = (points[:, 2] > 0).astype(np.int64)
    cloud = Shape(points=points, normals=normals, point_parts=parts)
    made = prepare_shape(cloud, settings(image_size=128, visibility=test, num_parts=2, depths=True), "torus")
    points = made.arrays["points"]
    exact = unpack_masks(visible_by_ray(unit(mesh, cloud), points, RING, made.arrays["normals"]), 4)
    assert (unpack_masks(made.arrays["visibility"], 4) == exact).mean() > least
    for view, image in enumerate(made.images["part_views"]):
        labels = decode_labels(np.frombuffer(image, np.uint8))
        depth = decode_depth(np.frombuffer(made.images["depths"][view], np.uint8), 2, 4)
        np.testing.assert_array_equal(labels == 2, np.isinf(depth))
        assert (labels == 1).sum() > (labels == 0).sum() > 0  # the cameras stand above


def unit(mesh, cloud):
    """The mesh where the preparation puts its cloud."""
    _, center, scale = normalize(cloud.points)
    moved = mesh.copy()
    moved.vertices = (moved.vertices - center) / scale
    return RayScene(moved, margin=0.1)


def test_views_are_stored_without_loss_and_masks_are_exact():
    made = prepare_shape(Shape(mesh=creation.box(BOX)), settings(), "box")
    images = [cv2.imdecode(np.frombuffer(view, np.uint8), cv2.IMREAD_COLOR) for view in made.images["views"]]
    assert [image.shape for image in images] == [(32, 32, 3)] * 4
    assert all((image[0, 0] == 255).all() and image.min() < 200 for image in images)
    # From 30 degrees above, every view sees the top and none the bottom; a side is seen from its own.
    points, masks = made.arrays["points"], made.arrays["visibility"]
    assert masks.dtype == np.uint32
    half = np.array(BOX) / 2 / np.linalg.norm(np.array(BOX) / 2)
    inner = (np.abs(points) < half - 1e-3).sum(axis=1) == 2
    for axis, sign, mask in [(2, 1, 0b1111), (2, -1, 0), (0, 1, 0b0001), (1, 1, 0b0010), (0, -1, 0b0100)]:
        side = inner & (points[:, axis] * sign > half[axis] - 1e-6)
        assert side.any()
        assert (masks[side] == mask).all()


@pytest.mark.parametrize(("test", "least"), [("depth", 0.93), ("hpr", 0.93)])
def test_other_visibility_tests_agree_with_ray_casting(test, least):
    shape = Shape(mesh=creation.torus(2, 0.6))
    exact = prepare_shape(shape, settings(image_size=128), "torus").arrays["visibility"]
    other = prepare_shape(shape, settings(image_size=128, visibility=test), "torus").arrays["visibility"]
    bits = np.arange(4, dtype=np.uint32)
    agree = ((exact[:, None] >> bits) & 1) == ((other[:, None] >> bits) & 1)
    assert agree.mean() > least


def test_hidden_points_of_a_dense_cloud():
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(10_000, 3))
    cloud /= np.linalg.norm(cloud, axis=1, keepdims=True)
    wanted = settings(image_size=None, visibility="hpr")
    made = prepare_shape(Shape(points=cloud), wanted, "sphere").arrays
    # A camera at distance 3 sees the part of the unit sphere with p . c > 1 / 3.
    height = made["points"] @ (RING.positions() / 3).T
    seen = (made["visibility"][:, None] >> np.arange(4)) & 1
    assert seen[height > 1 / 3 + 0.02].mean() > 0.99
    assert seen[height < 1 / 3 - 0.2].mean() < 0.01
    generous = prepare_shape(Shape(points=cloud), replace(wanted, hpr_radius=1000.0), "sphere").arrays
    assert generous["visibility"].sum() != made["visibility"].sum()


def test_colour_survives_encoding():
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    decoded = cv2.imdecode(np.frombuffer(encode_view(image), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(decoded, image)


def test_settings_that_make_no_sense():
    many = CameraRig(tuple(range(32)), (0.0,) * 32)
    with pytest.raises(ValueError, match="32 views, masks hold 31"):
        settings(rig=many)
    assert settings(rig=many, visibility="none").rig.num_views == 32
    with pytest.raises(ValueError, match="need a camera rig"):
        settings(rig=None)
    with pytest.raises(ValueError, match="depth needs rendered views"):
        settings(image_size=None, visibility="depth")
    with pytest.raises(ValueError, match="num_points is 0"):
        PointSettings(num_points=0)
    with pytest.raises(ValueError, match="up is 'w'"):
        PointSettings(up="w")
