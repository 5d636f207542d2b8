"""Semantic segmentation of crops of scenes: the head that ignores what is unlabelled, and the metric."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from torch import Tensor

from pointmcd.batch import Batch, HeadOutput
from pointmcd.evaluation.classification import accuracies, confusion_matrix
from pointmcd.models.heads import PartSegmentationHead
from pointmcd.models.losses import smoothed_cross_entropy
from pointmcd.registry import METRICS, MODELS
from projects.mvnet.mvnet.scene_prediction import mean_iou


@MODELS.register_module()
class SceneSegmentationHead(PartSegmentationHead):
    """``PartSegmentationHead`` where the last part is that of the unlabelled points, which do not count.

    Args:
        in_channels: C of the backbone; given by the model.
        local_channels: L of the backbone; given by the model.
        num_classes: 1, the scene; filled in from the prepared data where a config leaves it None.
        num_parts: Classes of points and one more, the unlabelled; filled in likewise.
        kwargs: As ``PartSegmentationHead``.
    """

    def __init__(
        self, in_channels: int, local_channels: int, num_classes: int, num_parts: int, **kwargs: Any
    ) -> None:
        super().__init__(in_channels, local_channels, num_classes, num_parts - 1, **kwargs)

    def loss(self, features: HeadOutput, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted cross-entropy over the labelled points; 0 where there are none."""
        if "parts" not in batch:
            raise ValueError("the batch has no parts: give the dataset parts=True")
        labelled = batch["parts"] < features["logits"].shape[-1]
        if not labelled.any():
            return {"loss_task": 0 * features["logits"].sum()}
        loss = smoothed_cross_entropy(features["logits"][labelled], batch["parts"][labelled], self.smoothing)
        return {"loss_task": self.loss_weight * loss}


@METRICS.register_module()
class SceneSegmentationMetric(BaseMetric):
    """Mean IoU over classes, overall and mean class accuracy in percent, of the labelled points of all crops.

    Where crops overlap a point counts in each. ScanNet's benchmark counts the vertices of the scene's mesh
    once, and S3DIS' the points of its rooms: tools/evaluate_scenes.py.

    Args:
        num_parts: Classes of points and one more, the unlabelled; filled in from the prepared data where a
            config leaves it None.

    Attributes:
        confusion: (P, P) counts of the last evaluation; row the true class, column the predicted one.
    """

    default_prefix = ""

    def __init__(self, num_parts: int) -> None:
        super().__init__()
        self.num_classes = num_parts - 1
        self.confusion = np.zeros((self.num_classes, self.num_classes), np.int64)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count one batch."""
        for sample in data_samples:
            truth, guess = sample["parts"].cpu().numpy(), sample["part_scores"].argmax(-1).cpu().numpy()
            labelled = truth < self.num_classes
            self.results.append(confusion_matrix(truth[labelled], guess[labelled], self.num_classes))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute once all ranks have reported; classes that are neither true nor predicted do not count."""
        self.confusion = np.sum(results, axis=0)
        return {"mean_iou": mean_iou(self.confusion)[0], **accuracies(self.confusion)}
