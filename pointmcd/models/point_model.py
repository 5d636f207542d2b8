"""A point network for one task: backbone and head."""

import inspect
from typing import Any, Unpack

from mmengine.model import BaseModel
from torch import Tensor

from pointmcd.batch import Batch, PointFeatures, network_input
from pointmcd.models.backbones.base import PointBackbone
from pointmcd.models.layers import LinearNormAct
from pointmcd.registry import MODELS


@MODELS.register_module()
class PointModel(BaseModel):
    """Backbone and head, trained by the MMEngine Runner; what is shipped in the end is one of these.

    Args:
        backbone: Config of a backbone; its ``out_channels`` sets the width of all that follows.
        head: Config of a task head, or None: the backbone alone, which says nothing of a task.
        data_preprocessor: Config of the preprocessor (moves a batch to the device and augments it).

    Attributes:
        dense: The head says something of every point.
        with_local: Local features are made, for the head or for a loss.

    Raises:
        ValueError: The backbone is none, or the head needs local features and the backbone has none.
    """

    def __init__(
        self, backbone: dict, head: dict | None = None, data_preprocessor: dict | None = None
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor or {"type": "PointPreprocessor"}))
        if not isinstance(backbone, dict) or "type" not in backbone:
            raise ValueError(f"the backbone is {backbone!r}, must be a type and its arguments")
        kind = MODELS.get(backbone["type"]) if isinstance(backbone["type"], str) else backbone["type"]
        if isinstance(kind, type) and not issubclass(kind, PointBackbone):  # before its arguments are missed
            raise ValueError(
                f"the backbone {backbone['type']} is not a PointBackbone; derive it from "
                "pointmcd.models.backbones.PointBackbone, which says what a backbone must give"
            )
        if isinstance(kind, type) and inspect.isabstract(kind):
            raise ValueError(f"the backbone {backbone['type']} lacks encode, which every PointBackbone has")
        self.backbone = MODELS.build(backbone)
        if not isinstance(getattr(self.backbone, "fusion", None), LinearNormAct):
            raise ValueError(
                f"the backbone {backbone['type']} has no self.fusion that is a "
                "pointmcd.models.layers.LinearNormAct: its last layer, from hidden features to point features"
            )
        self.head = None
        self.dense = head is not None and getattr(MODELS.get(head["type"]), "dense", False)
        self.with_local = self.dense
        if head is None:
            return
        widths: dict[str, int | None] = {"in_channels": self.backbone.out_channels}
        if self.dense:
            widths["local_channels"] = self.backbone.local_channels
            if widths["local_channels"] is None:
                raise ValueError(
                    f"{head['type']} needs local features of all points, which the backbone "
                    f"{backbone['type']} does not have: give it local_channels and local_feats, as "
                    "PointBackbone says"
                )
        self.head = MODELS.build({**head, **widths})

    def forward(self, mode: str = "tensor", **batch: Unpack[Batch]) -> Any:
        """Run one pass over a batch (``pointmcd.batch.Batch``).

        Args:
            mode: ``loss`` gives a dict of weighted losses, ``predict`` one dict a shape, ``tensor`` the
                features and logits.
            batch: ``points`` (B, N, 3), with ``normals`` and ``colors`` where the backbone's ``in_channels``
                has room for them; ``label`` (B,), the category, where the head is dense; for ``loss``
                also what the heads ask for.
        """
        if mode == "loss":
            return self.loss(batch)
        features = self.student_features(self.network_input(batch), batch.get("label"))
        if mode == "predict":
            if self.head is None:
                raise ValueError("a model without a head predicts nothing; mode='tensor' gives its features")
            return self.head.predict(features, batch)
        if mode == "tensor":
            return features
        raise ValueError(f"mode is {mode!r}; choose loss, predict or tensor")

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the task loss and the backbone's own, each weighted."""
        return self._task_losses(self.student_features(self.network_input(batch), batch.get("label")), batch)

    def network_input(self, batch: Batch) -> Tensor:
        """Return what the backbone sees of a batch, (B, N, in_channels)."""
        return network_input(batch, self.backbone.in_channels)

    def student_features(self, points: Tensor, label: Tensor | None = None) -> PointFeatures:
        """Return what the backbone says of points, and what the head makes of it.

        Args:
            points: (B, N, in_channels).
            label: (B,) int64 category of each shape, which a dense head needs.

        Returns:
            ``global_feats`` (B, C), what ``backbone.encode`` returns, and what the head adds (``logits``
            ...); ``local_feats`` (B, N, L) where there are to be any; ``point_feats`` (B, M, C) unless
            ``pools_only``.
        """
        if self.pools_only:
            features = self.backbone.encoded(points)
            features["global_feats"] = self.backbone.fusion.pool(features["hidden"])[:, 0]
        else:
            features = self.backbone(points)
            features["global_feats"] = features["point_feats"].amax(1)
        return self._decode(features, label)

    @property
    def pools_only(self) -> bool:
        """Whether per-point features feed pools only and need not be stored (``VAFP.pool_hidden``)."""
        return not (self.with_local and self.backbone.local_needs_point_feats)

    def _decode(self, features: PointFeatures, label: Tensor | None) -> PointFeatures:
        """Add local features, where they are asked for, and what the head makes of all."""
        if self.with_local:
            features["local_feats"] = local = self.backbone.local_feats(features)
            if local.shape[-1] != self.backbone.local_channels:
                raise ValueError(
                    f"{type(self.backbone).__name__}.local_feats returns {local.shape[-1]} channels, but its "
                    f"local_channels are {self.backbone.local_channels}"
                )
        if self.head is not None:
            features.update(self.head(features, label) if self.dense else self.head(features))
        return features

    def _task_losses(self, features: PointFeatures, batch: Batch) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        if self.head is not None:
            add_losses(losses, self.head.loss(features, batch), type(self.head).__name__)
        add_losses(losses, features["losses"], type(self.backbone).__name__)
        return losses


def add_losses(losses: dict[str, Tensor], more: dict[str, Tensor], whose: str) -> None:
    """Add what a part of the model says to ``losses``; what would not reach the sum is refused.

    Args:
        losses: By name.
        more: By name; MMEngine sums those whose names have ``loss`` in them and shows the others.
        whose: The part's type.

    Raises:
        ValueError: ``more`` is not a dict, a name is taken, or a term with a gradient would not be summed.
    """
    if not isinstance(more, dict):
        raise ValueError(
            f"{whose} returns a {type(more).__name__} as its loss, must be a dict "
            "such as {'loss_mine': loss}"
        )
    for name, term in more.items():
        if name in losses:
            raise ValueError(
                f"{whose} calls a loss {name!r}, as another part of the model does: one would be lost"
            )
        if "loss" not in name and isinstance(term, Tensor) and term.requires_grad:
            raise ValueError(
                f"{whose} calls a loss {name!r}, but only terms with 'loss' in their names are summed; "
                f"call it 'loss_{name}', or detach it if it is only shown"
            )
        losses[name] = term
