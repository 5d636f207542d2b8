"""Counts and accuracies of classification."""

from collections.abc import Mapping

import numpy as np


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
    """Return the share of each class that is recognised, (K,) in [0, 1]; NaN for a class without shapes."""
    counts = confusion.sum(1)
    return np.divide(np.diag(confusion), counts, out=np.full(len(counts), np.nan), where=counts > 0)


def accuracies(confusion: np.ndarray) -> dict[str, float]:
    """Return overall and mean class accuracy in percent; classes without shapes do not count.

    Args:
        confusion: (K, K) counts.

    Returns:
        ``overall_accuracy`` and ``mean_class_accuracy``.
    """
    return {
        "overall_accuracy": 100 * float(np.trace(confusion) / max(confusion.sum(), 1)),
        "mean_class_accuracy": 100 * float(np.nanmean(class_accuracy(confusion))),
    }


def accuracies_of_parts(
    labels: np.ndarray, logits: np.ndarray, parts: Mapping[str, np.ndarray], spoken: np.ndarray | None = None
) -> dict[str, dict[str, float]]:
    """Return ``accuracies`` of several parts of a split.

    Args:
        labels: (S,) classes.
        logits: (S, K).
        parts: Rows of the split by name.
        spoken: (S,) bool, whose logits count; None: all.

    Returns:
        By name of the part; one without a row that counts is left out.
    """
    figures = {}
    for name, rows in parts.items():
        rows = rows if spoken is None else rows[spoken[rows]]
        if len(rows):
            table = confusion_matrix(labels[rows], logits[rows].argmax(1), logits.shape[1])
            figures[name] = accuracies(table)
    return figures
