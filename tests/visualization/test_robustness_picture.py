"""The picture of robustness."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from pointmcd.visualization.robustness import FIRST, draw_robustness


def test_a_panel_for_each_corruption_a_line_for_each_method():
    first, second = np.array([[60.0, 50, 40], [62, 52, 42]]), np.array([[70.0, 65, 60], [72, 67, 62]])
    curves = {name: {"baseline": first, "d$istilled": second} for name in "abcde"}
    curves["e"] = {method: accuracy[:, :2] for method, accuracy in curves["e"].items()}
    figure = draw_robustness(curves, [2, 5])
    alone = figure.axes[-1]
    assert [tick.get_text() for tick in alone.get_xticklabels()] == ["clean", "1"]
    alone.remove()
    assert [axes.get_title() for axes in figure.axes] == list("abcd")
    for axes in figure.axes:
        lines = [line for line in axes.lines if line.get_linestyle() == "-"]
        assert [to_hex(line.get_color()) for line in lines] == list(FIRST)
        np.testing.assert_array_equal(lines[0].get_ydata(), [61, 51, 41])
        np.testing.assert_array_equal(lines[1].get_ydata(), [71, 66, 61])
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["clean", "2", "5"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["baseline", r"d\$istilled"]


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="at least one corruption"):
        draw_robustness({})
