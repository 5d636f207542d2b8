"""Figures of image teachers: how well pixels are reconstructed, or sorted into parts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from pointmcd.evaluation.classification import confusion_matrix
from pointmcd.registry import METRICS


@METRICS.register_module()
class ReconstructionMetric(BaseMetric):
    """``reconstruction_l1``: the mean absolute error of pixels in 0..1, over all views of all shapes."""

    default_prefix = ""  # plain names, where MMEngine would warn of None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep each shape's error."""
        self.results.extend(sample["reconstruction_l1"] for sample in data_samples)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Average once all ranks have reported."""
        return {"reconstruction_l1": float(np.mean(results))}


@METRICS.register_module()
class PixelMetric(BaseMetric):
    """``pixel_accuracy`` and ``pixel_miou`` in percent, over all views of all shapes.

    The accuracy is that of the pixels that show a part: the background is most of an image, and easy. The
    mean IoU is over the parts that are there or predicted, counted over all pixels; a part that is predicted
    on the background is wrong.

    Args:
        num_parts: P, also the number of the background; filled in from the prepared data where a config
            leaves it None.
    """

    default_prefix = ""

    def __init__(self, num_parts: int) -> None:
        super().__init__()
        self.num_parts = num_parts

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the pixels of each shape, against ``data_batch['part_views']`` (B, v, H, W)."""
        for truth, sample in zip(data_batch["part_views"], data_samples, strict=True):
            pixels = [parts.numpy(force=True).ravel() for parts in (truth, sample["part_views"])]
            self.results.append(confusion_matrix(*pixels, self.num_parts + 1))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Add up once all ranks have reported."""
        confusion = np.sum(results, 0)
        right = np.diag(confusion)[:-1]
        shown, predicted = confusion.sum(1)[:-1], confusion.sum(0)[:-1]
        union = shown + predicted - right
        iou = right[union > 0] / union[union > 0]
        return {
            "pixel_accuracy": 100 * float(right.sum() / max(shown.sum(), 1)),
            "pixel_miou": 100 * float(iou.mean()),
        }
