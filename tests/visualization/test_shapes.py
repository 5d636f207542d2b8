"""Pictures of prepared shapes: what is drawn where."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest

from pointmcd.datasets.preparation.writer import EncodedShape, SplitWriter, seal
from pointmcd.datasets.prepared_set import PreparedSet, PreparedSetError
from pointmcd.geometry.cameras import CameraRig
from pointmcd.visualization.parts import part_colors
from pointmcd.visualization.shapes import HIDDEN, SEEN, draw_shape, draw_shapes


def drawn_points(axes) -> dict[str, np.ndarray]:
    """Places in [0, 1] of the hidden and the seen points, which are drawn in this order."""
    hidden, seen = axes.collections
    return {HIDDEN: np.asarray(hidden.get_offsets()), SEEN: np.asarray(seen.get_offsets())}


def write_set(root, rig, **arrays) -> PreparedSet:
    writer = SplitWriter(root / "test", ["thing_1"], [0])
    writer.add(EncodedShape(arrays))
    writer.close()
    header = {
        "class_names": ["thing"],
        "part_names": None,
        "num_views": rig.num_views if rig else 0,
        "rig": rig.to_dict() if rig else None,
        "points": {"num_points": len(arrays["points"])},
        "views": None,
        "visibility": "ray" if "visibility" in arrays else "none",
        "splits": {"test": 1},
    }
    seal(root, header)
    return PreparedSet(root)


def test_points_are_where_the_camera_sees_them(tmp_path):
    # the camera stands on the x axis: y is to the right, z is up
    rig = CameraRig((0.0, 90.0), (0.0, 0.0), distance=3.0, fov_deg=40.0)
    points = np.array([(0, 0.5, 0), (0, 0, 0.5)], np.float32)
    prepared = write_set(tmp_path, rig, points=points, visibility=np.array([0b01, 0b10], np.uint32))
    first, second = (drawn_points(axes) for axes in draw_shape(prepared, "test", 0).axes)
    shift = 0.5 * (0.5 / 3) / math.tan(math.radians(20))
    np.testing.assert_allclose(first[SEEN], [(0.5 + shift, 0.5)])
    np.testing.assert_allclose(first[HIDDEN], [(0.5, 0.5 - shift)])
    np.testing.assert_allclose(second[SEEN], [(0.5, 0.5 - shift)])
    np.testing.assert_allclose(second[HIDDEN], [(0.5, 0.5)], atol=1e-9)  # straight behind the origin


def test_a_set_of_points_alone_is_drawn_from_around(tmp_path):
    points = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32) / 5
    figure = draw_shapes(write_set(tmp_path, None, points=points), "test", [0])
    assert len(figure.axes) == 6
    assert all(len(drawn_points(axes)[SEEN]) == 50 for axes in figure.axes)


def test_seen_points_lie_on_the_picture(tiny_set):
    prepared = PreparedSet(tiny_set)
    shapes = prepared.split("test")
    figure = draw_shapes(prepared, "test", [0, 7], views=[2])
    panels = iter(figure.axes)
    for index in (0, 7):
        image_axes, point_axes = next(panels), next(panels)
        image = shapes.views.read(index, 2)
        np.testing.assert_array_equal(image_axes.images[0].get_array(), image)
        places = drawn_points(point_axes)
        seen = shapes.visibility[index] & 0b100 > 0
        assert len(places[SEEN]) == seen.sum() > 0
        assert len(places[HIDDEN]) == (~seen).sum() > 0
        column, row = (places[SEEN] * len(image)).astype(int).T
        on_shape = image[row, column].max(-1) < 255
        assert on_shape.mean() > 0.9  # all but those at the outline


def test_parts_are_shown_in_their_colours(parts_set):
    prepared = PreparedSet(parts_set)
    shapes = prepared.split("test")
    figure = draw_shapes(prepared, "test", [0], views=[1])
    view, tinted, points = figure.axes
    labels, own = shapes.part_views.read(0, 1), prepared.class_parts[shapes.labels[0]]
    image = np.asarray(tinted.images[0].get_array())
    np.testing.assert_array_equal(image[labels == 10], np.asarray(view.images[0].get_array())[labels == 10])
    colors = {part: part_colors(np.array([part]), own)[0] for part in own}
    for part in set(np.unique(labels)) & set(own):
        # A tinted grey has the direction of its part's colour.
        shown = image[labels == part].astype(float)
        cosine = shown @ colors[part] / np.linalg.norm(shown, axis=1) / np.linalg.norm(colors[part])
        assert cosine.min() > 0.99
    seen = (shapes.visibility[0] >> np.uint32(1)) & 1 == 1
    hidden, visible = points.collections
    assert (len(hidden.get_offsets()), len(visible.get_offsets())) == ((~seen).sum(), seen.sum())
    drawn = np.unique(visible.get_facecolors()[:, :3].round(6), axis=0)
    expected = np.unique([colors[part].round(6) for part in set(shapes.parts[0][seen].tolist())], axis=0)
    np.testing.assert_allclose(drawn, expected, atol=1e-5)
    texts = [text.get_text() for text in figure.texts]
    assert [text for text in texts if text in prepared.part_names] == [
        prepared.part_names[part] for part in own
    ]
    assert "● hidden" not in texts


def test_names_and_places_of_panels(tiny_set):
    prepared = PreparedSet(tiny_set)
    figure = draw_shapes(prepared, "test", [0, 3, 6])
    assert len(figure.axes) == 3 * 2 * 4
    texts = [text.get_text() for text in figure.texts]
    for index in (0, 3, 6):
        assert prepared.split("test").names[index].rsplit("/")[-1] in texts
    boxes = np.array([axes.get_position().get_points().ravel() for axes in figure.axes])
    assert boxes.min() >= 0
    assert boxes.max() <= 1 + 1e-9
    assert len(np.unique(boxes.round(6), axis=0)) == len(boxes)


def test_no_global_state(tiny_set, tmp_path):
    draw_shape(PreparedSet(tiny_set), "test", 0).savefig(tmp_path / "shape.png")
    assert (tmp_path / "shape.png").stat().st_size > 1000
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("indices", "views", "message"),
    [
        ([], None, "at least one shape"),
        ([0], [], "at least one shape and one view"),
        ([0, 99], None, "no shape 99: split 'test' has shapes 0 to 11"),
        ([-1], None, "no shape -1"),
        ([0], [4], "no view 4: split 'test' has views 0 to 3"),
    ],
)
def test_what_is_not_there(tiny_set, indices, views, message):
    with pytest.raises(ValueError, match=message):
        draw_shapes(PreparedSet(tiny_set), "test", indices, views)


def test_no_such_split(tiny_set):
    with pytest.raises(PreparedSetError, match="has no split"):
        draw_shapes(PreparedSet(tiny_set), "val", [0])
