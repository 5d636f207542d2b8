"""The frozen image networks whose features points learn to carry, by their timm names."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd.batch import Batch
from pointmcd.models.teachers.frozen import FrozenTrunk
from pointmcd.models.teachers.trunks import import_timm
from pointmcd.registry import MODELS


@MODELS.register_module()
class ImageNetwork(FrozenTrunk):
    """Feature maps of several levels of a frozen timm network: a ResNet's stages, a ViT's blocks.

    Its weights are not part of a checkpoint.

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
        if pretrained + (checkpoint is not None) + random_weights != 1:
            raise ValueError(
                f"the image network {trunk} needs weights: give checkpoint=FILE, or pretrained=True for "
                "timm's (a download); random_weights=True does without, and teaches next to nothing"
            )
        super().__init__(
            trunk,
            checkpoint,
            trunk_options,
            input_size=resize_to or 0,
            random_weights=random_weights,
            levels=levels,
        )
        given = {"mean": mean, "std": std}
        self.settings.update({name: list(value) for name, value in given.items() if value is not None})
        info: Any = self.network.feature_info  # a list, of a whole network
        self.channels = [info[level]["num_chs"] for level in self.settings["levels"]]
        embed: Any = getattr(self.network, "patch_embed", None)
        fixed = isinstance(embed, import_timm().layers.PatchEmbed) and not embed.dynamic_img_pad
        self.patch_size: int = embed.patch_size[0] if fixed else 1  # of which a picture's side is a multiple
        self.register_state_dict_post_hook(_leave_out)
        self.register_load_state_dict_post_hook(_not_missing)

    @torch.no_grad()
    def maps(self, batch: Batch, positions: Tensor) -> list[Tensor]:
        """Return what the network says at the nodes of a grid.

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
        images = self.images(batch["views"])
        side, patch = images.shape[-1], self.patch_size
        if side % patch:
            raise ValueError(
                f"{self.settings['trunk']} sees patches of {patch} px, which do not fill images of "
                f"{side} px: give model.teacher.resize_to={patch * round(side / patch)} or so"
            )
        levels = self.feature_maps(images)
        v, u = torch.meshgrid(positions, positions, indexing="ij")
        nodes = (2 * torch.stack([u, v], -1) - 1).expand(len(images), -1, -1, -1)
        shape = batch["views"].shape[:2]
        return [sample_maps(level.float(), nodes).unflatten(0, shape) for level in levels]


def sample_maps(maps: Tensor, nodes: Tensor) -> Tensor:
    """Return maps (B, D, H, W) at nodes (B, h, w, 2) in -1..1 -> (B, h, w, D)."""
    sampled = F.grid_sample(maps, nodes, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled.permute(0, 2, 3, 1)


def _leave_out(module: nn.Module, state: dict, prefix: str, local_metadata: dict) -> None:
    for key in [key for key in state if key.startswith(f"{prefix}network.")]:
        del state[key]


def _not_missing(module: nn.Module, keys: Any) -> None:
    keys.missing_keys[:] = [key for key in keys.missing_keys if "network" not in key.split(".")]
