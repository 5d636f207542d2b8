"""Is one of two methods better? A paired bootstrap over test shapes and training seeds."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

ROUNDING = 1e-9  # points: a bound at 0 may come out as 2e-16


class Difference(NamedTuple):
    """A difference of accuracies or mIoUs in percentage points, with a 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > ROUNDING or self.high < -ROUNDING

    @property
    def has_interval(self) -> bool:
        """Whether the draws differed: of a single shape, or of shapes that are all alike, they do not."""
        return self.high - self.low > ROUNDING

    def short(self, digits: int = 1) -> str:
        """Return text such as ``+1.0 (-0.5 to +2.5)``."""
        if not self.has_interval:
            return f"{self.mean:+.{digits}f} (no interval)"
        return f"{self.mean:+.{digits}f} ({self.low:+.{digits}f} to {self.high:+.{digits}f})"

    def sentence(self, digits: int = 1) -> str:
        """Return text such as ``+1.0 points, 95 % interval -0.5 to +2.5: no clear difference``."""
        if not self.has_interval:
            return f"{self.mean:+.{digits}f} points, no interval: too few shapes, or none that differ"
        verdict = "a clear" if self.clear else "no clear"
        return (
            f"{self.mean:+.{digits}f} points, 95 % interval {self.low:+.{digits}f} to "
            f"{self.high:+.{digits}f}: {verdict} difference"
        )


def shape_scores(report: Mapping[str, Any]) -> np.ndarray:
    """Return the score (S,) of each shape in [0, 1]: its IoU, or whether it is right.

    Args:
        report: With ``ious``, or with ``labels`` and ``predictions``, as metrics write them.

    Raises:
        ValueError: It has neither, or not one for each label.
    """
    scores = report.get("ious", report.get("predictions"))
    if scores is None:
        raise ValueError("this report has no result for each shape: it has neither predictions nor ious")
    labels = np.asarray(report["labels"] if "predictions" in report else report.get("labels", scores))
    try:
        scores = np.asarray(scores, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"this report's results of single shapes are not numbers: {error}") from error
    if scores.ndim != 1 or labels.shape != scores.shape:
        raise ValueError("this report does not have one label and one prediction or IoU for each shape")
    if not np.isfinite(scores).all():
        raise ValueError("this report's results of single shapes are not finite")
    return scores if "ious" in report else np.equal(labels, scores).astype(np.float64)


def paired_difference(
    first: np.ndarray,
    second: np.ndarray,
    labels: np.ndarray | None = None,
    samples: int = 10_000,
    seed: int = 0,
) -> Difference:
    """Return by how much ``second`` is better than ``first`` on average, on the same shapes and seeds.

    Shapes and seeds are both drawn with replacement, the same for the two methods, so that the interval
    counts the luck of the test set and of the training (percentile bootstrap; Efron and Tibshirani, 1993).

    Args:
        first: (R, S) in [0, 1], R seeds, S shapes: right or wrong, or the IoU of each shape.
        second: (R, S), the other method.
        labels: (S,) classes, for a mean over classes of the mean over their shapes; as many shapes of each
            class are drawn as there are. None averages over shapes.
        samples: Number of draws.
        seed: Of the draws.

    Raises:
        ValueError: The two are not of one shape (R, S), or there is not one label a shape.
    """
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(f"needs results of one shape (R, S) for both, not {first.shape} and {second.shape}")
    gain = second.astype(np.float64) - first.astype(np.float64)
    seeds, shapes = gain.shape
    labels = np.zeros(shapes, int) if labels is None else np.asarray(labels)
    if labels.shape != (shapes,):
        raise ValueError(f"needs one label for each of {shapes} shapes, not {labels.shape}")
    classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    rng = np.random.default_rng(seed)
    # how often each seed and shape is drawn; their outer product weighs the table
    seed_weights = _draws(rng, seeds, samples)
    shape_weights = np.empty((samples, shapes))
    for members in classes:
        shape_weights[:, members] = _draws(rng, len(members), samples) / len(classes)
    means = 100 * np.einsum("br,br->b", seed_weights, shape_weights @ gain.T)
    low, high = np.percentile(means, [2.5, 97.5])
    mean = np.mean([gain[:, members].mean() for members in classes])
    return Difference(100 * float(mean), float(low), float(high))


def _draws(rng: np.random.Generator, count: int, samples: int) -> np.ndarray:
    """Return (samples, count) shares of each of ``count`` things among as many draws with replacement."""
    return rng.multinomial(count, np.full(count, 1 / count), samples) / count
