"""The decoder that turns local and global features into the part of each point."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd.batch import Batch, HeadOutput, PointFeatures
from pointmcd.models.layers import LinearNormAct
from pointmcd.models.losses import smoothed_cross_entropy
from pointmcd.registry import MODELS


@MODELS.register_module()
class PartSegmentationHead(nn.Module):
    """[local feature, global feature, category of the shape] -> shared MLP -> part logits of each point.

    The global feature and the category are the same for all points of a cloud. The first layer multiplies
    them once a cloud and adds the product to that of each point, so that nothing is tiled.

    The defaults are the decoder and the loss of the official DGCNN student. That of the official PointNet
    is ``category_channels=0, channels=(512, 256, 128), dropout=0, negative_slope=0, smoothing=0.05,
    loss_weight=0.1``; PointNet++, which propagates the global feature itself, takes ``use_global=False,
    category_channels=0, channels=(128,), negative_slope=0``.

    Args:
        in_channels: C of the backbone; given by the model.
        local_channels: L of the backbone; given by the model.
        num_classes: K, categories of shapes; filled in from the prepared data where a config leaves it None.
        num_parts: P, parts of all categories together; filled in likewise.
        use_global: Read the global feature.
        category_channels: Width of a fully connected layer on the one-hot category; 0 takes the one-hot code
            itself.
        channels: Widths of the shared MLP.
        dropout: Probability of dropping a channel of a point after each layer of the MLP but the last; after
            the only one of a single layer.
        negative_slope: Of the leaky ReLU; 0 is ReLU.
        smoothing: Label smoothing.
        loss_weight: Weight of the task loss.
    """

    dense = True  # needs local features

    def __init__(
        self,
        in_channels: int,
        local_channels: int,
        num_classes: int,
        num_parts: int,
        use_global: bool = True,
        category_channels: int = 64,
        channels: Sequence[int] = (256, 256, 128),
        dropout: float = 0.5,
        negative_slope: float = 0.2,
        smoothing: float = 0.2,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.use_global = use_global
        self.lift = (
            LinearNormAct(num_classes, category_channels, negative_slope=negative_slope)
            if category_channels
            else nn.Identity()
        )
        shared = (in_channels if use_global else 0) + (category_channels or num_classes)
        self.first = LinearNormAct(local_channels + shared, channels[0], negative_slope=negative_slope)
        rest: list[nn.Module] = [nn.Dropout(dropout)]
        for i, (width, out) in enumerate(pairwise(channels), 2):
            rest.append(LinearNormAct(width, out, negative_slope=negative_slope))
            if i < len(channels):
                rest.append(nn.Dropout(dropout))
        self.rest = nn.Sequential(*rest)
        self.classifier = nn.Linear(channels[-1], num_parts, bias=False)
        self.smoothing = smoothing
        self.loss_weight = loss_weight

    def forward(self, features: PointFeatures, label: Tensor | None) -> HeadOutput:
        """Decode every point.

        Args:
            features: ``local_feats`` (B, N, L) and, unless ``use_global`` is off, ``global_feats`` (B, C).
            label: (B,) int64 category of each shape.

        Returns:
            ``logits`` (B, N, P).

        Raises:
            ValueError: There is no label.
        """
        local = features["local_feats"]
        shared = self.lift(self._one_hot(label, local))
        if self.use_global:
            shared = torch.cat([features["global_feats"], shared], -1)
        per_point, per_cloud = self.first.linear.weight.split([local.shape[-1], shared.shape[-1]], 1)
        x = F.linear(local, per_point) + F.linear(shared, per_cloud).unsqueeze(1)
        x = self.rest(self.first.norm_act(x))
        return {"logits": self.classifier(x)}

    def _one_hot(self, label: Tensor | None, like: Tensor) -> Tensor:
        """Return categories (B,) as (B, K) rows in the dtype of ``like``."""
        if label is None:
            raise ValueError(
                "part segmentation needs the category of each shape, in testing too: pass label (B,)"
            )
        return F.one_hot(label, self.num_classes).to(like.dtype)

    def loss(self, features: HeadOutput, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted, smoothed cross-entropy of ``features['logits']`` against ``batch['parts']``.

        Raises:
            ValueError: The batch has no parts.
        """
        if "parts" not in batch:
            raise ValueError("the batch has no parts: give the dataset parts=True")
        loss = smoothed_cross_entropy(features["logits"], batch["parts"], self.smoothing)
        return {"loss_task": self.loss_weight * loss}

    def predict(self, features: HeadOutput, batch: Batch) -> list[dict[str, Any]]:
        """Return one dict a shape: ``part_scores`` (N, P) float32 probabilities and, where known, ``index``,
        ``label`` (its category) and ``parts`` (N,) int64.
        """
        scores = features["logits"].softmax(-1).float()
        rows: list[dict[str, Any]] = [{"part_scores": row} for row in scores]
        for name in ("index", "label", "parts"):
            if name in batch:
                column = batch[name] if name == "parts" else batch[name].tolist()
                for row, value in zip(rows, column, strict=True):
                    row[name] = value
        return rows
