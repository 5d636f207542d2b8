"""Accuracy of classification."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from pointmcd.registry import METRICS


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """Count predictions: row the true class, column the predicted one.

    Args:
        labels: (S,) int in [0, K).
        predictions: (S,) int in [0, K).
        num_classes: K.

    Returns:
        (K, K) int64.
    """
    cells = np.asarray(labels, np.int64) * num_classes + np.asarray(predictions, np.int64)
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def class_accuracy(confusion: np.ndarray) -> np.ndarray:
    """The share of each class that is recognised, (K,) in [0, 1]; NaN for a class without shapes."""
    counts = confusion.sum(1)
    return np.divide(np.diag(confusion), counts, out=np.full(len(counts), np.nan), where=counts > 0)


def accuracies(confusion: np.ndarray) -> dict[str, float]:
    """Overall and mean class accuracy in percent; classes without shapes do not count.

    Args:
        confusion: (K, K) counts.

    Returns:
        ``overall_accuracy`` and ``mean_class_accuracy``.
    """
    return {
        "overall_accuracy": 100 * float(np.trace(confusion) / max(confusion.sum(), 1)),
        "mean_class_accuracy": 100 * float(np.nanmean(class_accuracy(confusion))),
    }


@METRICS.register_module()
class ClassificationMetric(BaseMetric):
    """Overall and mean class accuracy in percent, of the last state of the network, without voting.

    Args:
        num_classes: K; filled in from the prepared data where a config leaves it None.

    Attributes:
        confusion: (K, K) counts of the last evaluation.
        labels: (S,) true classes of the last evaluation, in the order of the split.
        predictions: (S,) predicted ones.
    """

    default_prefix = ""  # plain names, where MMEngine would warn of None

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.confusion = np.zeros((num_classes, num_classes), np.int64)
        self.labels = self.predictions = np.zeros(0, np.int64)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the predicted and true class of each shape."""
        self.results.extend((sample["label"], sample["pred"]) for sample in data_samples)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Count once all ranks have reported."""
        self.labels, self.predictions = np.asarray(results, np.int64).reshape(-1, 2).T
        self.confusion = confusion_matrix(self.labels, self.predictions, self.num_classes)
        return accuracies(self.confusion)
