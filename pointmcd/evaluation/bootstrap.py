"""Is one of two methods better? A paired bootstrap over test shapes and training seeds."""

from typing import NamedTuple

import numpy as np


class Difference(NamedTuple):
    """A difference of accuracies in percentage points, with a 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


def paired_difference(
    first: np.ndarray, second: np.ndarray, samples: int = 10_000, seed: int = 0
) -> Difference:
    """How much more often ``second`` is right than ``first``, on the same shapes, with the same seeds.

    Shapes and seeds are both drawn with replacement, the same for the two methods, so that the interval
    counts the luck of the test set and of the training (percentile bootstrap; Efron and Tibshirani, 1993).

    Args:
        first: (R, S) bool, right or wrong: R seeds, S shapes.
        second: (R, S) bool, the other method.
        samples: Number of draws.
        seed: Of the draws.

    Raises:
        ValueError: The two are not of one shape (R, S).
    """
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(f"needs results of one shape (R, S) for both, not {first.shape} and {second.shape}")
    gain = second.astype(np.float64) - first.astype(np.float64)
    seeds, shapes = gain.shape
    rng = np.random.default_rng(seed)
    # how often each seed and shape is drawn; their outer product weighs the table
    seed_counts = rng.multinomial(seeds, np.full(seeds, 1 / seeds), samples)
    shape_counts = rng.multinomial(shapes, np.full(shapes, 1 / shapes), samples)
    means = 100 * np.einsum("br,rs,bs->b", seed_counts, gain, shape_counts, optimize=True) / gain.size
    low, high = np.percentile(means, [2.5, 97.5])
    return Difference(100 * float(gain.mean()), float(low), float(high))
