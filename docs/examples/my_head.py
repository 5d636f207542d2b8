"""A task head: ``model.head.type=CosineHead``."""

import torch.nn.functional as F

from pointmcd.batch import HeadOutput, PointFeatures
from pointmcd.models.heads import ClassificationHead
from pointmcd.registry import MODELS


@MODELS.register_module()
class CosineHead(ClassificationHead):
    """A ``ClassificationHead`` whose logits are cosines between the descriptor and a direction a class.

    Args:
        scale: What cosines are multiplied by.
        kwargs: As ``ClassificationHead``.
    """

    def __init__(self, scale: float = 10.0, **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.scale = scale

    def forward(self, features: PointFeatures) -> HeadOutput:
        """Map ``global_feats`` (B, C) to ``descriptor`` (B, channels) and ``logits`` (B, K)."""
        descriptor = self.embed(features["global_feats"])
        cosines = F.linear(F.normalize(descriptor, dim=-1), F.normalize(self.classifier.weight, dim=-1))
        return {"descriptor": descriptor, "logits": self.scale * cosines}
