"""A metric: one entry of ``val_evaluator`` and ``test_evaluator``, ``dict(type="Calibration")``."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pointmcd.evaluation.metrics import Metric
from pointmcd.registry import METRICS


@METRICS.register_module()
class Calibration(Metric):
    """Expected calibration error in percent: by how much confidence and accuracy differ (Guo et al., 2017).

    Args:
        bins: Intervals of confidence between 0 and 1.
    """

    def __init__(self, bins: int = 10) -> None:
        super().__init__()
        self.bins = bins

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep how sure the network is of each shape, and whether it is right."""
        for sample in data_samples:
            self.results.append((float(sample["scores"].max()), sample["pred"] == sample["label"]))

    def compute_metrics(self, results: list[tuple[float, bool]]) -> dict[str, float]:
        """Sum over the intervals once all ranks have reported."""
        confidence, right = np.array(results, dtype=np.float64).T
        interval = np.minimum((confidence * self.bins).astype(int), self.bins - 1)
        apart = np.bincount(interval, confidence - right, self.bins)
        return {"calibration_error": 100 * float(np.abs(apart).sum() / len(right))}
