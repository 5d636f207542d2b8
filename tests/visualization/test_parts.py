"""Pictures of segmented shapes: colours, what is wrong, what lies in front."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from pointmcd.visualization.parts import (
    CAMERA,
    FOREIGN,
    RIGHT,
    WRONG,
    SegmentedShape,
    draw_parts,
    part_colors,
)

NAMES = ["seat", "back", "arm", "shade", "foot"]


def chair(count=40, title="chair", **more):
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.5, 0.5, (count, 3)).astype(np.float32)
    truth = rng.integers(0, 3, count)
    return SegmentedShape(title, points, **{"predicted": truth, "category_parts": [0, 1, 2], **more})


def drawn(axes):
    """Places (N, 2) and colours (N, 3) in the order of drawing."""
    (collection,) = axes.collections
    return np.asarray(collection.get_offsets()), collection.get_facecolors()[:, :3]


def test_near_points_are_drawn_last_and_stronger():
    shape = chair()
    (axes,) = draw_parts([shape], NAMES).subfigs[0].axes
    places, colors = drawn(axes)
    (pixels,), (depth,) = CAMERA.project(shape.points, 1)
    order = np.argsort(-depth)
    np.testing.assert_allclose(places, pixels[order])
    nearest, farthest = order[-1], order[0]
    palette = part_colors(np.arange(3), [0, 1, 2])
    np.testing.assert_allclose(colors[-1], palette[shape.predicted[nearest]])
    assert colors[0].sum() > palette[shape.predicted[farthest]].sum()


def test_truth_prediction_and_wrong_points_side_by_side():
    truth = chair().predicted
    predicted = np.where(np.arange(40) < 10, (truth + 1) % 3, truth)
    shape = chair(predicted=predicted, truth=truth)
    true_axes, predicted_axes, wrong_axes = draw_parts([shape], NAMES).subfigs[0].axes
    assert [axes.texts[0].get_text() for axes in (true_axes, predicted_axes, wrong_axes)] == [
        "truth",
        "prediction",
        "25.0 % wrong",
    ]
    differ = (drawn(true_axes)[1] != drawn(predicted_axes)[1]).any(1)
    assert differ.sum() == 10
    places, colors = drawn(wrong_axes)
    (pixels,), _ = CAMERA.project(shape.points, 1)
    assert sorted(places[-10:].tolist()) == sorted(pixels[:10].tolist())  # above the others
    red, right = np.array(to_rgb(WRONG)), np.array(to_rgb(RIGHT))
    for color, full in ((colors[-10:], red), (colors[:30], right)):
        fade = (color - full) / (1 - full)  # the same step towards white in each channel
        np.testing.assert_allclose(fade, fade[:, :1].repeat(3, 1), atol=1e-6)


def test_colors_are_those_of_the_category():
    parts = np.array([3, 4, 3, 0])
    colors = part_colors(parts, [3, 4])
    np.testing.assert_allclose(colors[:2], part_colors(np.array([0, 1]), [0, 1, 2]))
    np.testing.assert_array_equal(colors[0], colors[2])
    np.testing.assert_allclose(colors[3], to_rgb(FOREIGN))  # a part of another category
    many = part_colors(np.arange(30), range(30))
    assert len(np.unique(many, axis=0)) == 30


@pytest.mark.parametrize("known", [False, True])
def test_names_fit_and_shapes_have_their_place(known):
    shapes = [chair(title=f"shape {number}") for number in range(5)]
    if known:
        shapes = [shape._replace(truth=shape.predicted) for shape in shapes]
    figure = draw_parts(shapes, NAMES, columns=2)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    cells = figure.subfigs
    assert len(cells) == 6
    for cell, shape in zip(cells, shapes, strict=False):
        assert cell.texts[0].get_text() == shape.title
        legend = cell.legends[0]
        assert [text.get_text() for text in legend.get_texts()] == NAMES[:3]
        box = legend.get_window_extent(renderer)
        assert cell.bbox.x0 <= box.x0 <= box.x1 <= cell.bbox.x1
        assert cell.bbox.y0 - 1 <= box.y0 <= box.y1 <= min(axes.bbox.y0 for axes in cell.axes) + 1
    assert not cells[5].axes
    assert plt.get_fignums() == []


def test_what_cannot_be_drawn_is_named():
    with pytest.raises(ValueError, match="at least one shape"):
        draw_parts([], NAMES)
    with pytest.raises(ValueError, match="draw them separately"):
        draw_parts([chair(), chair(truth=chair().predicted)], NAMES)
    with pytest.raises(ValueError, match=r"stool: 40 points and \[39\] parts"):
        draw_parts([chair(title="stool", predicted=np.zeros(39, int))], NAMES)
