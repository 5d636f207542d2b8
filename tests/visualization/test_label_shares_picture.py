"""Accuracy over the share of the labels: what is drawn is what was given."""

import numpy as np
import pytest

from pointmcd.visualization.label_shares import draw_label_shares


def test_each_network_has_its_mean_and_its_seeds():
    curves = {"alone": {20: [50.0, 52.0], 5: [30.0, 34.0]}, "distilled": {20: [60.0, 62.0]}}
    (axes,) = draw_label_shares(curves).axes
    lines = [np.array(line.get_xydata()).tolist() for line in axes.lines]
    assert lines[0] == [[5, 32], [20, 51]]
    assert lines[1:3] == [[[5, 30], [5, 34]], [[20, 50], [20, 52]]]
    assert lines[3] == [[20, 61]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(curves)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["5 %", "20 %"]


@pytest.mark.parametrize("curves", [{}, {"alone": {}}])
def test_nothing_to_draw_is_refused(curves):
    with pytest.raises(ValueError, match="needs an accuracy of each network"):
        draw_label_shares(curves)
