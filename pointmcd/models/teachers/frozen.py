"""An image network as it comes: frozen, with its own statistics and input size."""

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.device import get_device
from torch import Tensor, nn

from pointmcd import ops
from pointmcd.checkpoint import read_state_dict
from pointmcd.models.teachers.folding import fold_norms
from pointmcd.models.teachers.normalization import OF_TIMM, seen_by, statistics, trained_size
from pointmcd.models.teachers.trunks import build_trunk, load_trunk


class FrozenTrunk(nn.Module):
    """A timm network that is never trained here: what it sees of views, and its features.

    Its weights get no gradient and stay in eval mode.

    Args:
        trunk: A timm name: ``mobilenetv2_100``, ``resnet50``, ``vit_small_patch14_dinov2`` ...
        checkpoint: A ``.safetensors`` or ``.pth`` file: the network as timm names its weights, or an image
            teacher with the same trunk. None takes timm's weights (a download).
        trunk_options: Further arguments of ``timm.create_model``, such as ``pad_type='same'``.
        input_size: Side that views are resized to (bilinear, antialiased), or 0 to take them as they are.
            None enlarges smaller ones to the size that timm gives for the network.
        normalization: One of ``NORMALIZATIONS``, or ``timm`` for the statistics that timm says.
        random_weights: Go without weights: a control, which shows what the weights are worth.
        levels: The network's stages (ViT: blocks), from 0 or, below 0, from the last one, that are wanted
            rather than pooled features; what lies above them is cut off, and is not needed of ``checkpoint``.
        precision: ``float32`` or ``bfloat16``, of what ``hasten`` makes of the network. It is float32, with a
            warning, on a processor without fast products in bfloat16.

    Attributes:
        levels: In rising order; None where there are pooled features.
        trained_size: Side of the images that the network was trained with, as timm says.
        settings: What the features depend on, plain values.

    Raises:
        ValueError: The network or the normalisation is not known, it has no such level, or the weights do
            not fit.
    """

    settings: dict[str, Any]

    def __init__(
        self,
        trunk: str,
        checkpoint: str | None = None,
        trunk_options: dict[str, Any] | None = None,
        input_size: int | None = None,
        normalization: str = OF_TIMM,
        random_weights: bool = False,
        levels: Sequence[int] | None = None,
        precision: str = "float32",
    ) -> None:
        super().__init__()
        pretrained = checkpoint is None and not random_weights
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # random weights are the same each time
            self.network = build_trunk(trunk, pretrained, **(trunk_options or {}))
        mean, std = statistics(normalization, self.network)
        self.levels = None
        if levels is not None:
            count = len(self.network.feature_info)  # type: ignore[arg-type]  # a list, of a whole network
            if not levels or not all(-count <= level < count for level in levels):
                raise ValueError(f"levels are {list(levels)}, but {trunk} has the levels 0 to {count - 1}")
            self.levels = sorted({level % count for level in levels})
            self.network.prune_intermediate_layers(self.levels, prune_norm=True, prune_head=True)
        if checkpoint is not None:
            load_trunk(self.network, read_state_dict(checkpoint), checkpoint, whole=levels is None)
        self.trained_size = trained_size(self.network)
        self.settings: dict[str, Any] = {
            "trunk": trunk,
            "trunk_options": dict(trunk_options or {}),
            "input_size": self.trained_size if input_size is None else input_size,
            "enlarge_only": input_size is None,
            "mean": [float(value) for value in mean],
            "std": [float(value) for value in std],
            "random_weights": random_weights,
        } | ({} if self.levels is None else {"levels": self.levels})
        if precision == "bfloat16" and ops.takes_bfloat16(get_device(), f"{trunk} runs", of_images=True):
            self.settings["precision"] = precision  # float32 is not named: earlier versions had no other
        self.requires_grad_(False).eval()
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's types
        self._digest = ""

    @property
    def out_channels(self) -> int:
        """C, width of the pooled features."""
        return self.network.out_channels

    def train(self, mode: bool = True) -> "FrozenTrunk":
        """Keep the network in eval mode."""
        return super().train(False)

    def hasten(self) -> None:
        """Fold batch norms into convolutions, and take the weights in bfloat16 where ``precision`` says so.

        In float32 features stay the same but for rounding. In bfloat16 those of MobileNetV2 (1249 shapes of
        12 views of 112 pixels) change by 12 % of their norm, the mean over a shape's views and the maximum by
        9 %. Afterwards the weights are no longer those of a checkpoint.
        """
        if self._digest:
            return
        self._digest = self.weights_sha256()
        fold_norms(self.network)
        if self.settings.get("precision") == "bfloat16":
            self.network.bfloat16()

    def images(self, views: Tensor) -> Tensor:
        """Return views (B, v, 3, H, H), uint8 or floats in 0..1, as B * v images that the network takes."""
        settings = self.settings
        return seen_by(
            self.network,
            views.flatten(0, 1),
            settings["mean"],
            settings["std"],
            settings["input_size"],
            settings["enlarge_only"],
        )

    @torch.no_grad()
    def forward(self, views: Tensor) -> Tensor:
        """Return pooled features (B, v, C) of views (B, v, 3, H, H), uint8 or floats in 0..1."""
        return self.network(self.images(views)).float().unflatten(0, views.shape[:2])

    @torch.no_grad()
    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """Return what the ``levels`` say of images (B, 3, H, W) of ``images``: (B, C, h, w) each."""
        return self.network.forward_intermediates(
            images, indices=self.levels, intermediates_only=True, norm=False, stop_early=True
        )

    def weights_sha256(self) -> str:
        """Return the SHA-256 over the network's weights as they were loaded, in hexadecimal."""
        return self._digest or state_sha256(self.network)


def state_sha256(network: nn.Module) -> str:
    """Return the SHA-256 over a network's weights, in hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()
