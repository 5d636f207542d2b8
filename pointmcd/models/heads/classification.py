"""The classification head that PointMCD gives every student."""

from typing import Any

from torch import Tensor, nn

from pointmcd.batch import Batch, HeadOutput, PointFeatures
from pointmcd.models.layers import LinearNormAct
from pointmcd.models.losses import smoothed_cross_entropy
from pointmcd.registry import MODELS


@MODELS.register_module()
class ClassificationHead(nn.Module):
    """Global feature -> FC (batch norm, ReLU) = descriptor -> linear classifier without bias.

    Source: the official students (method of PointMCD, classification): no dropout, no average pooling.

    Args:
        in_channels: C of the backbone; given by the model.
        num_classes: K; filled in from the prepared data where a config leaves it None.
        channels: Width of the descriptor.
        dropout: Probability of dropping a descriptor's channel before the classifier (official: 0).
        smoothing: Label smoothing (official: 0.2).
        loss_weight: Weight of the task loss (official: 0.1, beside 1.0 for the view loss).
    """

    dense = False  # needs the pooled feature only

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        channels: int = 512,
        dropout: float = 0.0,
        smoothing: float = 0.2,
        loss_weight: float = 0.1,
    ) -> None:
        super().__init__()
        self.embed = LinearNormAct(in_channels, channels)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, num_classes, bias=False)
        self.num_classes = num_classes
        self.smoothing = smoothing
        self.loss_weight = loss_weight

    def forward(self, features: PointFeatures) -> HeadOutput:
        """Map ``global_feats`` (B, C) to ``descriptor`` (B, channels) and ``logits`` (B, K)."""
        descriptor = self.embed(features["global_feats"])
        return {"descriptor": descriptor, "logits": self.classifier(self.dropout(descriptor))}

    def loss(self, features: HeadOutput, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted, smoothed cross-entropy of the logits against ``batch['label']``."""
        loss = smoothed_cross_entropy(features["logits"], batch["label"], self.smoothing)
        return {"loss_task": self.loss_weight * loss}

    def predict(self, features: HeadOutput, batch: Batch) -> list[dict[str, Any]]:
        """Return a dict for each shape: ``index``, ``scores`` (K,), ``pred`` and, where known, ``label``."""
        scores = features["logits"].softmax(-1).float()
        rows = [{"scores": row} for row in scores]
        columns = {"pred": scores.argmax(1), "index": batch.get("index"), "label": batch.get("label")}
        for name, column in columns.items():
            if column is not None:
                # int() of each would be a graph break, of which torch.compile warns at length.
                for row, value in zip(rows, column.tolist(), strict=True):
                    row[name] = value
        return rows
