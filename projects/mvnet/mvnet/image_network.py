"""The frozen image networks whose features points learn to carry, by their timm names."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd.checkpoint import read_state_dict
from pointmcd.models.teachers.trunks import build_trunk, import_timm
from pointmcd.registry import MODELS


@MODELS.register_module()
class ImageNetwork(nn.Module):
    """Feature maps of several levels of a frozen timm network: a ResNet's stages, a ViT's blocks.

    Its weights are no part of a checkpoint, get no gradient and stay in eval mode.

    Args:
        trunk: A timm name: ``resnet50``, ``vit_small_patch14_dinov2`` ...
        levels: Which of the network's stages (ViT: blocks), from 0.
        trunk_options: Further arguments of ``timm.create_model``: ``dynamic_img_size=True`` lets a ViT take
            images of other sizes than its own.
        pretrained: Take timm's weights (a download).
        checkpoint: A ``.safetensors`` or ``.pth`` file: the network as timm names its weights, or an image
            teacher that ``tools/train.py`` trained with the same trunk.
        random_weights: Go without weights. A random network teaches next to nothing; this is for tests.
        resize_to: Side that the views are resized to, or None to take them as they are.
        mean: Of each colour of an image in 0..1; None takes what timm says of this network.
        std: Standard deviation, likewise.

    Attributes:
        channels: D of each level.

    Raises:
        ValueError: Not exactly one source of weights is given, the network has no such level, or the weights
            do not fit.
    """

    def __init__(
        self,
        trunk: str,
        levels: list[int],
        trunk_options: dict[str, Any] | None = None,
        pretrained: bool = False,
        checkpoint: str | None = None,
        random_weights: bool = False,
        resize_to: int | None = None,
        mean: list[float] | None = None,
        std: list[float] | None = None,
    ) -> None:
        super().__init__()
        if pretrained + (checkpoint is not None) + random_weights != 1:
            raise ValueError(
                f"the image network {trunk} needs weights: give checkpoint=FILE, or pretrained=True for "
                "timm's (a download); random_weights=True goes without, and teaches next to nothing"
            )
        self.network = build_trunk(trunk, pretrained, **(trunk_options or {}))
        depth = len(self.network.feature_info)
        if not levels or not all(0 <= level < depth for level in levels):
            raise ValueError(f"levels are {list(levels)}, but {trunk} has the levels 0 to {depth - 1}")
        self.levels = sorted(levels)
        self.channels = [self.network.feature_info[level]["num_chs"] for level in self.levels]
        self.network.prune_intermediate_layers(self.levels, prune_norm=True, prune_head=True)
        if checkpoint is not None:
            self._load(checkpoint)
        embed = getattr(self.network, "patch_embed", None)
        fixed = isinstance(embed, import_timm().layers.PatchEmbed) and not embed.dynamic_img_pad
        self.patch_size = embed.patch_size[0] if fixed else 1  # of which a picture's side is a multiple
        known = self.network.pretrained_cfg
        self.settings = {
            "trunk": trunk,
            "levels": self.levels,
            "trunk_options": dict(trunk_options or {}),
            "resize_to": resize_to,
            "mean": list(known["mean"] if mean is None else mean),
            "std": list(known["std"] if std is None else std),
        }
        self.network.requires_grad_(False).eval()
        self.register_state_dict_post_hook(_leave_out)
        self.register_load_state_dict_post_hook(_not_missing)

    def _load(self, checkpoint: str) -> None:
        """The weights of the layers that are needed; what lies above them in the file is left out."""
        state = read_state_dict(checkpoint)
        if any(key.startswith("trunk.") for key in state):  # a teacher; one with a pyramid has trunk.body
            prefix = "trunk.body." if any(key.startswith("trunk.body.") for key in state) else "trunk."
            state = {
                key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
            }
        # timm's pyramids rename: dots become underscores, or a prefix comes before all
        by_name = {key.removeprefix("model.").replace(".", "_"): value for key, value in state.items()}
        # Batch norm counts its batches only while it trains.
        own = [key for key in self.network.state_dict() if not key.endswith("num_batches_tracked")]
        missing = [key for key in own if key.replace(".", "_") not in by_name]
        if missing:
            raise ValueError(
                f"{checkpoint} lacks {len(missing)} of the {len(own)} weights of this image network "
                f"({missing[0]} ...)"
            )
        try:
            self.network.load_state_dict({key: by_name[key.replace(".", "_")] for key in own})
        except RuntimeError as error:
            raise ValueError(f"the weights of {checkpoint} do not fit this image network: {error}") from error

    def train(self, mode: bool = True) -> "ImageNetwork":
        """The network stays in eval mode."""
        return super().train(False)

    @torch.no_grad()
    def maps(self, batch: dict[str, Any], positions: Tensor) -> list[Tensor]:
        """What the network says at the nodes of a grid.

        Args:
            batch: With ``views`` (B, v, 3, H, H), uint8 or floats in 0..1.
            positions: (h,) where the grid's columns and rows lie, in 0..1.

        Returns:
            For each level (B, v, h, h, D), interpolated bilinearly.

        Raises:
            ValueError: The batch has no views, or a ViT's patches do not fill them.
        """
        if "views" not in batch:
            raise ValueError("the batch has no views: give the training dataset views=COUNT")
        images = batch["views"].flatten(0, 1)
        images = images if images.is_floating_point() else images.float() / 255
        if (size := self.settings["resize_to"]) is not None:
            images = F.interpolate(images, (size, size), mode="bilinear", antialias=True)
        side, patch = images.shape[-1], self.patch_size
        if side % patch:
            raise ValueError(
                f"{self.settings['trunk']} sees patches of {patch} px, which do not fill images of "
                f"{side} px: give model.teacher.resize_to={patch * round(side / patch)} or so"
            )
        mean, std = (images.new_tensor(self.settings[name]).view(3, 1, 1) for name in ("mean", "std"))
        levels = self.network.forward_intermediates(
            (images - mean) / std, indices=self.levels, intermediates_only=True, norm=False, stop_early=True
        )
        v, u = torch.meshgrid(positions, positions, indexing="ij")
        nodes = (2 * torch.stack([u, v], -1) - 1).expand(len(images), -1, -1, -1)
        shape = batch["views"].shape[:2]
        return [sample_maps(level.float(), nodes).unflatten(0, shape) for level in levels]


def sample_maps(maps: Tensor, nodes: Tensor) -> Tensor:
    """Maps (B, D, H, W) at nodes (B, h, w, 2) in -1..1 -> (B, h, w, D)."""
    sampled = F.grid_sample(maps, nodes, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled.permute(0, 2, 3, 1)


def _leave_out(module: nn.Module, state: dict, prefix: str, local_metadata: dict) -> None:
    for key in [key for key in state if key.startswith(f"{prefix}network.")]:
        del state[key]


def _not_missing(module: nn.Module, keys: Any) -> None:
    keys.missing_keys[:] = [key for key in keys.missing_keys if "network" not in key.split(".")]
