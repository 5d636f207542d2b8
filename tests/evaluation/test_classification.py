"""Accuracy against counts made by hand."""

import numpy as np
import pytest
import torch

from pointmcd.evaluation.classification import accuracies, class_accuracy, confusion_matrix
from pointmcd.evaluation.metrics import ClassificationMetric


def test_confusion_and_accuracies():
    labels, predictions = [0, 0, 0, 1, 2, 2], [0, 0, 1, 1, 0, 0]
    confusion = confusion_matrix(labels, predictions, 4)
    assert confusion.tolist() == [[2, 1, 0, 0], [0, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(class_accuracy(confusion), [2 / 3, 1, 0, np.nan])
    found = accuracies(confusion)
    assert found == {"overall_accuracy": 50.0, "mean_class_accuracy": 100 * (2 / 3 + 1 + 0) / 3}


def test_metric_collects_batches():
    metric = ClassificationMetric(3)
    metric.process(None, [{"label": 0, "pred": 0}, {"label": 1, "pred": 2}])
    metric.process(None, [{"label": 2, "pred": 2}])
    assert metric.evaluate(3)["overall_accuracy"] == pytest.approx(200 / 3)
    assert metric.predictions.tolist() == [0, 2, 2]


def test_scores_that_are_no_numbers_are_no_predictions():
    """The largest of NaN would be the first class."""
    metric = ClassificationMetric(3)
    sample = {"label": 0, "pred": 0, "index": 7, "scores": torch.full((3,), torch.nan)}
    with pytest.raises(ValueError, match="of shape 7 of the split is not finite; its points"):
        metric.process(None, [sample])
