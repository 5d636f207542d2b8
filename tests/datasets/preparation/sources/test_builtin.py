"""Built-in shapes: closed surfaces of known measure, upright, labelled, and the same for the same seed."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import trimesh

from pointmcd.datasets.preparation.job import Request, prepare
from pointmcd.datasets.preparation.sources import SourceError, source_class
from pointmcd.datasets.preparation.sources.builtin import CATEGORIES, BuiltinShapes, generate
from pointmcd.datasets.preparation.sources.builtin.solids import (
    assemble,
    bar,
    bezier,
    block,
    lathe,
    outline,
    polygon,
    slab,
    sweep,
)
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.geometry.cameras import CameraRig


def solid(rings: np.ndarray) -> trimesh.Trimesh:
    vertices, faces, _ = assemble([("part", rings)], ["part"])
    return trimesh.Trimesh(vertices, faces, process=True)


def test_block_is_the_box():
    mesh = solid(block((1, 2, 3), (0.5, 2, 4)))
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(0.5 * 2 * 4)
    assert mesh.area == pytest.approx(2 * (0.5 * 2 + 2 * 4 + 4 * 0.5))
    np.testing.assert_allclose(mesh.bounds, [[0.75, 1, 1], [1.25, 3, 5]])


def test_bar_is_as_long_as_its_ends_are_apart():
    start, end = np.array([0, 0, 0]), np.array([1, 2, 2])
    mesh = solid(bar(start, end, outline(0.2, 0.3)))
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(0.2 * 0.3 * 3)
    np.testing.assert_allclose(mesh.center_mass, (start + end) / 2, atol=1e-12)


def test_tapered_bar_is_a_frustum():
    base, tip, height = 4.0, 1.0, 3.0
    mesh = solid(bar((0, 0, 0), (0, 0, height), outline(2, 2), taper=(1, 0.5)))
    assert mesh.volume == pytest.approx(height / 3 * (base + tip + np.sqrt(base * tip)))


def test_lathe_closes_to_points():
    angle = np.linspace(0, np.pi, 80)
    mesh = solid(lathe(np.column_stack([np.sin(angle), -np.cos(angle)]), polygon(160)))
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * np.pi, rel=2e-3)


def test_lathe_follows_a_wall_down_inside():
    outer, inner, floor = 1.0, 0.9, 0.1
    mesh = solid(lathe([(outer, 0), (outer, 1), (inner, 1), (inner, floor)], polygon(4)))
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(
        2 * (outer**2 - inner**2 * (1 - floor))
    )  # a square of radius 1 has area 2


def test_sweep_along_a_ring_has_the_volume_of_a_torus():
    turn = np.linspace(0, 2 * np.pi, 200)
    path = np.column_stack([np.cos(turn), np.sin(turn), 0 * turn])
    vertices, faces, _ = assemble([("ring", sweep(path, 0.1 * polygon(60), side=(0, 0, 1)))], ["ring"])
    volume = trimesh.Trimesh(vertices, faces, process=False).volume
    assert volume == pytest.approx(2 * np.pi * np.pi * 0.1**2, rel=5e-3)


def test_slab_bevel_cuts_edges_only():
    plain, bevelled = solid(slab(outline(2, 1), 0, 0.5)), solid(slab(outline(2, 1), 0, 0.5, 0.1))
    np.testing.assert_allclose(bevelled.bounds, plain.bounds)
    top = bevelled.vertices[bevelled.vertices[:, 2] == 0.5]
    np.testing.assert_allclose(np.ptp(top, axis=0), [1.8, 0.8, 0])
    assert bevelled.is_watertight


@pytest.mark.parametrize(
    ("roundness", "area"), [(0, 6.0), (1, 6 * np.pi / 4), (0.5, 6 - (4 - np.pi) * 1.5 / 4)]
)
def test_outline_runs_counter_clockwise_round_its_area(roundness, area):
    x, y = outline(3, 2, roundness, corner=200).T
    assert 0.5 * (x @ np.roll(y, -1) - y @ np.roll(x, -1)) == pytest.approx(area, rel=1e-4)


def test_bezier_is_the_bernstein_form():
    control = np.random.default_rng(0).normal(size=(4, 3))
    t = np.linspace(0, 1, 9)
    weights = np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], axis=1)
    np.testing.assert_allclose(bezier(control, 9), weights @ control, atol=1e-12)


@pytest.mark.parametrize("category", CATEGORIES)
def test_shapes_are_sound(category):
    parts = CATEGORIES[category][1]
    seen = set()
    for seed in range(40):
        vertices, faces, face_parts = generate(category, np.random.default_rng(seed), 180)
        mesh = trimesh.Trimesh(vertices, faces, process=False)
        assert np.isfinite(vertices).all()
        assert mesh.area_faces.min() > 0
        assert mesh.volume > 0  # faces look outwards
        assert face_parts.shape == (len(faces),)
        assert len(faces) < 5000
        seen |= set(face_parts.tolist())
    assert seen == set(range(len(parts)))


# what a shape must have, and what lies above what
ABOVE = {
    "bench": ("seat", "leg"),
    "bookshelf": ("shelf", None),
    "bottle": ("cap", "body"),
    "bowl": ("body", None),
    "chair": ("back", "seat"),
    "cup": ("handle", None),
    "desk": ("top", "drawer"),
    "dresser": ("drawer", None),
    "jar": ("lid", "body"),
    "jug": ("handle", None),
    "lamp": ("shade", "base"),
    "stool": ("seat", "leg"),
    "table": ("top", "leg"),
    "teapot": ("lid", "body"),
    "vase": ("body", None),
    "wardrobe": ("door", None),
}


@pytest.mark.parametrize("category", CATEGORIES)
def test_parts_stand_as_the_category_says(category):
    upper, lower = ABOVE[category]
    parts = CATEGORIES[category][1]
    for seed in range(20):
        vertices, faces, face_parts = generate(category, np.random.default_rng(seed))
        height = vertices[faces].mean(1)[:, 2]
        top = height[face_parts == parts.index(upper)]
        assert len(top)
        if lower:
            assert top.max() > height[face_parts == parts.index(lower)].max()


def test_yaw_turns_about_the_up_axis_only():
    still = generate("teapot", np.random.default_rng(3))[0]
    turned = generate("teapot", np.random.default_rng(3), 90)[0]
    np.testing.assert_allclose(turned[:, 2], still[:, 2])
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), np.linalg.norm(still, axis=1))
    assert np.abs(turned - still).max() > 0.1


def test_same_arguments_same_shapes():
    first, again, other = BuiltinShapes(2, 1), BuiltinShapes(2, 1), BuiltinShapes(2, 1, seed=1)
    for item in reversed(first.items):  # in whatever order
        mesh = first.load(item).mesh
        np.testing.assert_array_equal(mesh.vertices, again.load(item).mesh.vertices)
        assert not np.array_equal(mesh.vertices, other.load(item).mesh.vertices)


def test_a_larger_set_begins_with_the_smaller():
    small, large = BuiltinShapes(1, 1), BuiltinShapes(3, 2)
    names = {item.name: item for item in large.items if item.split == "train"}
    for item in small.items:
        if item.split == "train":
            larger = large.load(names[item.name]).mesh
            np.testing.assert_array_equal(small.load(item).mesh.vertices, larger.vertices)


def test_items_are_counted_named_and_labelled():
    source = BuiltinShapes(train=3, test=2)
    assert len(source.class_names) >= 12
    assert source.class_names == sorted(source.class_names)
    for split, count in (("train", 3), ("test", 2)):
        items = [item for item in source.items if item.split == split]
        assert np.bincount([item.label for item in items]).tolist() == [count] * len(source.class_names)
    assert len({item.name for item in source.items}) == len(source.items)


def test_face_parts_name_the_category():
    source = BuiltinShapes(1, 1)
    assert len(set(source.part_names)) == len(source.part_names)
    for item in source.items:
        shape = source.load(item)
        assert len(shape.face_parts) == len(shape.mesh.faces)
        category = source.class_names[item.label]
        assert all(source.part_names[part].startswith(f"{category}-") for part in np.unique(shape.face_parts))


def test_prepared_points_carry_parts_of_their_category(tmp_path: Path):
    rig = CameraRig((0.0, 180.0), (30.0, 30.0))
    prepare(
        Request("builtin", {"train": 1, "test": 1}, num_points=64, rig=rig, image_size=16), tmp_path / "set"
    )
    prepared = PreparedSet(tmp_path / "set")
    assert not prepared.manifest["rejected"]
    for shapes in map(prepared.split, prepared.splits):
        for label, parts, masks in zip(shapes.labels, shapes.parts, shapes.visibility, strict=True):
            names = {prepared.part_names[part] for part in parts}
            assert all(name.startswith(f"{prepared.class_names[label]}-") for name in names)
            assert (masks > 0).mean() > 0.2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": 0}, "at least one"),
        ({"test": -1}, "at least one"),
        ({"seed": -3}, "negative"),
        ({"yaw_deg": 200}, "0..180"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(SourceError, match=message):
        BuiltinShapes(**arguments)


def test_command_line_has_the_constructor_s_defaults():
    source = source_class("builtin")
    parser = argparse.ArgumentParser()
    source.add_arguments(parser)
    by_hand, by_default = source(**vars(parser.parse_args([]))), source()
    assert by_hand.items == by_default.items
    assert (by_hand.seed, by_hand.yaw_deg) == (by_default.seed, by_default.yaw_deg)


def test_some_categories_hold_the_same_shapes():
    every, some = BuiltinShapes(2, 1), BuiltinShapes(2, 1, categories=["table", "chair"])
    assert some.class_names == ["chair", "table"]
    assert some.part_names == [n for n in every.part_names if n.split("-")[0] in ("chair", "table")]
    assert some.class_parts == [[0, 1, 2, 3], [4, 5, 6]]
    same = {(item.split, item.name): item for item in every.items}
    for item in some.items:
        one, other = some.load(item), every.load(same[item.split, item.name])
        np.testing.assert_array_equal(one.mesh.vertices, other.mesh.vertices)
        named = [[s.part_names[p] for p in shape.face_parts] for s, shape in ((some, one), (every, other))]
        assert named[0] == named[1]
    with pytest.raises(SourceError, match="no category sofa; there are bench"):
        BuiltinShapes(categories=["sofa"])
