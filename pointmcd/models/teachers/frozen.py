"""An image network as it comes: frozen, with its own statistics and input size."""

import hashlib
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd.checkpoint import read_state_dict
from pointmcd.models.teachers.trunks import NORMALIZATIONS, build_trunk, load_trunk


class FrozenTrunk(nn.Module):
    """A timm network that is never trained here: what it sees of views, and its pooled features.

    Its weights get no gradient and stay in eval mode.

    Args:
        trunk: A timm name: ``mobilenetv2_100``, ``resnet50``, ``vit_small_patch14_dinov2`` ...
        checkpoint: A ``.safetensors`` or ``.pth`` file: the network as timm names its weights, or an image
            teacher with the same trunk. None takes timm's weights (a download).
        trunk_options: Further arguments of ``timm.create_model``, such as ``pad_type='same'``.
        input_size: Side that views are resized to (bilinear, antialiased), or 0 to take them as they are.
            None enlarges smaller ones to the size that timm says the network was trained with, and leaves
            larger ones.
        normalization: One of ``NORMALIZATIONS``, or None for the statistics that timm says.
        random_weights: Go without weights: a control, which shows what the weights are worth.

    Attributes:
        trained_size: Side of the images that the network was trained with, as timm says.
        settings: What the features depend on, plain values.

    Raises:
        ValueError: The network or the normalisation is not known, or the weights do not fit.
    """

    settings: dict[str, Any]

    def __init__(
        self,
        trunk: str,
        checkpoint: str | None = None,
        trunk_options: dict[str, Any] | None = None,
        input_size: int | None = None,
        normalization: str | None = None,
        random_weights: bool = False,
    ) -> None:
        super().__init__()
        if normalization is not None and normalization not in NORMALIZATIONS:
            raise ValueError(
                f"normalization is {normalization!r}; choose {', '.join(NORMALIZATIONS)}, or leave it out "
                "for timm's"
            )
        pretrained = checkpoint is None and not random_weights
        self.network = build_trunk(trunk, pretrained, **(trunk_options or {}))
        if checkpoint is not None:
            state = read_state_dict(checkpoint)
            own = {key.removeprefix("trunk."): state[key] for key in state if key.startswith("trunk.")}
            load_trunk(self.network, own or state, checkpoint)
        known = self.network.pretrained_cfg
        mean, std = NORMALIZATIONS[normalization] if normalization else (known["mean"], known["std"])
        self.trained_size: int = known["input_size"][-1]
        self.settings: dict[str, Any] = {
            "trunk": trunk,
            "trunk_options": dict(trunk_options or {}),
            "input_size": self.trained_size if input_size is None else input_size,
            "enlarge_only": input_size is None,
            "mean": [float(value) for value in mean],
            "std": [float(value) for value in std],
            "random_weights": random_weights,
        }
        self.requires_grad_(False).eval()
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's types

    @property
    def out_channels(self) -> int:
        """C, width of the pooled features."""
        return self.network.out_channels

    def train(self, mode: bool = True) -> "FrozenTrunk":
        """The network stays in eval mode."""
        return super().train(False)

    def images(self, views: Tensor) -> Tensor:
        """Views (B, v, 3, H, H), uint8 or floats in 0..1, as B * v images that the network takes."""
        settings = self.settings
        return seen_by(
            views.flatten(0, 1),
            settings["input_size"],
            settings["enlarge_only"],
            settings["mean"],
            settings["std"],
        )

    @torch.no_grad()
    def forward(self, views: Tensor) -> Tensor:
        """Pooled features (B, v, C) of views (B, v, 3, H, H), uint8 or floats in 0..1."""
        return self.network(self.images(views)).unflatten(0, views.shape[:2])

    def weights_sha256(self) -> str:
        """SHA-256 over the network's weights, in hexadecimal."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(name.encode() + tensor.contiguous().cpu().numpy().tobytes())
        return digest.hexdigest()


def seen_by(
    images: Tensor, input_size: int, enlarge_only: bool, mean: list[float], std: list[float]
) -> Tensor:
    """Images (B, 3, H, H), uint8 or floats in 0..1, resized and normalised for a network.

    Args:
        images: What to resize.
        input_size: Side, or 0 to leave the images as they are.
        enlarge_only: Leave images that are as large or larger.
        mean: Of each colour of images in 0..1.
        std: Standard deviation, likewise.
    """
    images = images if images.is_floating_point() else images.float() / 255
    side = images.shape[-1]
    if input_size and side != input_size and not (enlarge_only and side > input_size):
        images = F.interpolate(images, (input_size, input_size), mode="bilinear", antialias=True)
    by_colour = (images.new_tensor(values).view(3, 1, 1) for values in (mean, std))
    shift, scale = by_colour
    return ((images - shift) / scale).contiguous(memory_format=torch.channels_last)
