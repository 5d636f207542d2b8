"""Figures of pixels against counts by hand."""

import pytest
import torch

from pointmcd.registry import METRICS


def test_pixel_figures():
    """Two parts and the background (2), a shape a row."""
    truth = torch.tensor([[[[0, 0, 1, 2]]], [[[1, 1, 2, 2]]]])
    predicted = torch.tensor([[[[0, 1, 1, 2]]], [[[1, 2, 2, 0]]]])
    metric = METRICS.build({"type": "PixelMetric", "num_parts": 2})
    for rows in (slice(0, 1), slice(1, 2)):
        metric.process({"part_views": truth[rows]}, [{"part_views": row} for row in predicted[rows]])
    figures = metric.evaluate(size=2)
    assert figures["pixel_accuracy"] == pytest.approx(100 * 3 / 5)  # of the five pixels that show a part
    # part 0: one right, shown by 2 and said of 2; part 1: two right, shown by 3 and said of 3
    assert figures["pixel_miou"] == pytest.approx(100 * (1 / 3 + 2 / 4) / 2)


def test_parts_that_never_occur_do_not_count():
    metric = METRICS.build({"type": "PixelMetric", "num_parts": 7})
    views = torch.tensor([[[[3, 7]]]])
    metric.process({"part_views": views}, [{"part_views": views[0]}])
    assert metric.evaluate(size=1) == {"pixel_accuracy": 100.0, "pixel_miou": 100.0}


def test_reconstruction():
    metric = METRICS.build({"type": "ReconstructionMetric"})
    metric.process({}, [{"reconstruction_l1": 0.1}, {"reconstruction_l1": 0.3}])
    metric.process({}, [{"reconstruction_l1": 0.2}])
    assert metric.evaluate(size=3)["reconstruction_l1"] == pytest.approx(0.2)
