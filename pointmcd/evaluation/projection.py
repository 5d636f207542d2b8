"""Principal components of what image networks say."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh

SAMPLE = 20_000  # rows that a projection is computed from


class Projection(NamedTuple):
    """Principal components of standardised features: one shift a channel, one scale for all channels.

    One scale keeps the shape of the teacher's space, in which some directions say more than others; the
    descriptors have a mean square of 1 (compare PHI-S, arXiv 2410.01680).
    """

    mean: np.ndarray  # (C,)
    matrix: np.ndarray  # (C, D)

    @classmethod
    def of(cls, features: np.ndarray, widths: Sequence[int], channels: int) -> "Projection":
        """Fit to features (S, C).

        Args:
            features: Of one or several networks, side by side.
            widths: Channels of each network, C together; each is brought to the same total variance.
            channels: D; at most C.
        """
        step = -(-len(features) // SAMPLE)
        sample = np.asarray(features[::step], np.float64)
        mean = sample.mean(0)
        variance = sample.var(0)
        parts = np.split(variance, np.cumsum(widths)[:-1])
        scale = np.concatenate([np.full(len(part), np.sqrt(max(part.sum(), 1e-12))) for part in parts])
        sample = (sample - mean) / scale
        count = len(scale)
        channels = min(channels, count)
        spread, axes = eigh(sample.T @ sample / len(sample), subset_by_index=(count - channels, count - 1))
        axes = axes[:, ::-1] * np.sign(axes[np.abs(axes).argmax(0), np.arange(channels)])[::-1]
        return cls(mean, axes / scale[:, None] / np.sqrt(max(spread.mean(), 1e-12)))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Map (..., C) to (..., D) float32."""
        return ((features - self.mean) @ self.matrix).astype(np.float32)
