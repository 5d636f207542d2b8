"""F_img, the image network."""

from typing import Any

import torch
from torch import Tensor, nn

from pointmcd.checkpoint import read_state_dict
from pointmcd.models.layers import LinearNormAct
from pointmcd.models.teachers.normalization import seen_by, statistics
from pointmcd.models.teachers.trunks import build_trunk, load_trunk
from pointmcd.registry import MODELS


@MODELS.register_module()
class ViewEncoder(nn.Module):
    """Images -> timm network -> one feature an image.

    Args:
        trunk: Name of a timm model (the paper's: a ResNet-18).
        trunk_options: Further arguments of ``timm.create_model``.
        pretrained: Take the trunk's weights from timm. Training without labels starts from random ones.
        checkpoint: A ``.safetensors`` or ``.pth`` file with weights of the trunk as timm names them.
        size: Side that images are resized to, in pixels.
        normalization: ``imagenet`` statistics, ``symmetric`` for -1..1, ``unit`` for 0..1, or ``timm``
            for what timm says of the trunk.
        channels: Width of a further linear layer with batch norm and ReLU, or None for the trunk's features.
        frozen: Keep the trunk as it is, with its running statistics, and learn the further layer alone.

    Raises:
        ValueError: There are two sources of weights, or nothing is left to learn.
    """

    def __init__(
        self,
        trunk: str = "resnet18",
        trunk_options: dict[str, Any] | None = None,
        pretrained: bool = False,
        checkpoint: str | None = None,
        size: int = 112,
        normalization: str = "imagenet",
        channels: int | None = None,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        if frozen and channels is None:
            raise ValueError(
                "a frozen view_encoder needs channels: a layer that learns, such as channels=512"
            )
        if pretrained and checkpoint is not None:
            raise ValueError(
                "pretrained takes the trunk's weights from timm, checkpoint from a file; choose one"
            )
        self.trunk = build_trunk(trunk, pretrained, **(trunk_options or {}))
        if checkpoint is not None:
            load_trunk(self.trunk, read_state_dict(checkpoint), checkpoint)
        # 10 to 25 % faster on a CPU; not in torch's types
        self.trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.embed = nn.Identity() if channels is None else LinearNormAct(self.trunk.out_channels, channels)
        self.out_channels = channels or self.trunk.out_channels
        self.size = size
        self.mean, self.std = statistics(normalization, self.trunk)
        self.frozen = frozen
        if frozen:
            self.trunk.requires_grad_(False)

    def train(self, mode: bool = True) -> "ViewEncoder":
        super().train(mode)
        if self.frozen:
            self.trunk.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, 3, H, W), uint8 or floats in 0..1, to (n, out_channels)."""
        return self.embed(self.trunk(seen_by(self.trunk, images, self.mean, self.std, self.size)))
