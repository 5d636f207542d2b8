"""The teacher of part segmentation."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from pointmcd.batch import Batch, ViewFeatures
from pointmcd.models.teachers.base import PyramidTeacher
from pointmcd.models.teachers.decoders import PartDecoder
from pointmcd.registry import MODELS


@MODELS.register_module()
class PartSegmentationTeacher(PyramidTeacher):
    """View and category -> the part that each pixel shows; only the descriptors are distilled.

    Source: the official ``Teacher_Seg``: the encoder starts from an autoencoder trained on the same views,
    the loss is the cross-entropy of pixels over P parts and the background.

    Args:
        num_classes: K, categories; filled in from the prepared data where a config leaves it None.
        num_parts: P; filled in likewise.
        trunk: As ``PyramidTeacher``, and so all that follow.
        trunk_options: Further arguments of ``timm.create_model``.
        pretrained: Take the trunk's ImageNet weights from timm.
        checkpoint: A file to start from, such as a checkpoint of an ``AutoencoderTeacher``.
        channels: D, width of the descriptors.
        normalization: How views are normalised.
        input_size: How views are enlarged.
        data_preprocessor: Config of the preprocessor.
    """

    def __init__(
        self,
        num_classes: int,
        num_parts: int,
        trunk: str = "vgg11_attention",
        trunk_options: dict[str, Any] | None = None,
        pretrained: bool = False,
        checkpoint: str | None = None,
        channels: int = 512,
        normalization: str = "unit",
        input_size: int | None = 0,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(
            trunk,
            trunk_options,
            pretrained,
            checkpoint,
            channels,
            normalization,
            input_size,
            data_preprocessor,
        )
        self.decoder = PartDecoder(self.trunk.channels, num_classes, num_parts)
        self._start()

    def loss(self, features: ViewFeatures, batch: Batch) -> dict[str, Tensor]:
        """Return cross-entropy against ``batch['part_views']``, given the categories ``batch['label']``."""
        logits = self.part_logits(features, batch)
        loss = F.cross_entropy(logits.flatten(0, 1), batch["part_views"].flatten(0, 1))
        return {"loss_parts": loss}

    def predict(self, features: ViewFeatures, batch: Batch) -> list[dict[str, Any]]:
        """Return a dict for each shape: ``part_views`` (v, H, W) int64, likeliest parts, P the background."""
        return [{"part_views": parts} for parts in self.part_logits(features, batch).argmax(2)]

    def part_logits(self, features: ViewFeatures, batch: Batch) -> Tensor:
        """Return logits (B, v, P + 1, H, W) of ``batch['views']``, by the categories ``batch['label']``."""
        views = batch["views"]
        category = batch["label"].repeat_interleave(views.shape[1])
        logits = self.decoder(features["levels"], category, views.shape[-1])
        return logits.unflatten(0, views.shape[:2])
