"""The picture of a confusion matrix."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from pointmcd.visualization.confusion import draw_confusion


def cell_colors(figure):
    return figure.axes[0].images[0].get_array()


def test_right_is_blue_wrong_is_red_none_is_white():
    colors = cell_colors(draw_confusion(np.array([[8, 2, 0], [0, 10, 0], [0, 0, 0]]), ["a", "b", "c"]))
    red, _, blue = np.moveaxis(colors[..., :3], -1, 0)
    assert blue[0, 0] > red[0, 0]
    assert red[0, 1] > blue[0, 1]
    np.testing.assert_allclose(colors[1, 0], 1)
    np.testing.assert_allclose(colors[2], 1)  # a class without shapes
    assert colors[1, 1].sum() < colors[0, 0].sum()  # all right is darker than most right


def test_counts_stand_in_their_cells():
    confusion = np.array([[8, 2], [0, 1234]])
    texts = draw_confusion(confusion, ["a", "b"]).axes[0].texts
    assert {(text.get_position(), text.get_text()) for text in texts} == {
        ((0, 0), "8"),
        ((1, 0), "2"),
        ((1, 1), "1234"),
    }


@pytest.mark.parametrize("count", [1, 2, 16, 64])
def test_readable(count):
    names = [f"a_rather_long_name_{index}" for index in range(count)]
    figure = draw_confusion(17 * (np.eye(count, dtype=int) + np.eye(count, k=1, dtype=int)), names)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    axes = figure.axes[0]
    for labels, axis in ((axes.get_xticklabels(), 0), (axes.get_yticklabels(), 1)):
        assert [label.get_text() for label in labels] == names
        assert min(label.get_fontsize() for label in labels) >= 6
        extents = np.array([label.get_window_extent(renderer).get_points() for label in labels])
        assert (extents >= 0).all()
        assert (extents <= figure.bbox.max).all()
        spans = extents[np.argsort(extents[:, 0, axis]), :, axis]
        assert (spans[:-1, 1] <= spans[1:, 0] + 1).all()  # neighbours do not overlap
    cell = axes.bbox.width / count
    assert all(text.get_window_extent(renderer).width < cell for text in axes.texts)


def test_size_must_be_that_of_the_names():
    with pytest.raises(ValueError, match=r"\(3, 3\), got \(2, 2\)"):
        draw_confusion(np.eye(2, dtype=int), ["a", "b", "c"])
