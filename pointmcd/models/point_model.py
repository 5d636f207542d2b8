"""A point network for one task: backbone and head."""

from typing import Any

from mmengine.model import BaseModel
from torch import Tensor

from pointmcd.models.backbones.base import PointBackbone
from pointmcd.registry import MODELS


@MODELS.register_module()
class PointModel(BaseModel):
    """Backbone and head, trained by the MMEngine Runner; what is shipped in the end is one of these.

    Args:
        backbone: Config of a backbone; its ``out_channels`` sets the width of all that follows.
        head: Config of a task head.
        data_preprocessor: Config of the preprocessor (moves a batch to the device and augments it).
    """

    def __init__(self, backbone: dict, head: dict, data_preprocessor: dict | None = None) -> None:
        super().__init__(MODELS.build(data_preprocessor or {"type": "PointPreprocessor"}))
        self.backbone = MODELS.build(backbone)
        self.head = MODELS.build({**head, "in_channels": self.backbone.out_channels})

    def forward(self, mode: str = "tensor", **batch: Any) -> Any:
        """One pass over a batch (``pointmcd.batch.Batch``).

        Args:
            mode: ``loss`` gives a dict of weighted losses, ``predict`` one dict a shape, ``tensor`` the
                features and logits.
            batch: ``points`` (B, N, 3); for ``loss`` also what the heads ask for.
        """
        if mode == "loss":
            return self.loss(batch)
        features = self.student_features(batch["points"])
        if mode == "predict":
            return self.head.predict(features, batch)
        if mode == "tensor":
            return features
        raise ValueError(f"mode is {mode!r}; choose loss, predict or tensor")

    def loss(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The task loss and the backbone's own, each weighted."""
        features = self.student_features(batch["points"])
        return {**self.head.loss(features, batch), **features["losses"]}

    def student_features(self, points: Tensor) -> dict[str, Any]:
        """What the head needs of points (B, N, 3), and what it makes of it: ``global_feats``, ``logits``
        ...
        """
        if self.pools_only:
            features = self.backbone.encode(points)
            features["global_feats"] = self.backbone.fusion.pool(features.pop("hidden"))[:, 0]
        else:
            features = self.backbone(points)
            features["global_feats"] = features["point_feats"].amax(1)
        features.update(self.head(features))
        return features

    @property
    def pools_only(self) -> bool:
        """Whether per-point features feed pools only, so that they need not be stored
        (``VAFP.pool_hidden``).
        """
        return isinstance(self.backbone, PointBackbone) and not self.head.dense
