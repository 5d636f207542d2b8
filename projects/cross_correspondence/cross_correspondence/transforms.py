"""The image augmentation of the training, batched on the device."""

from typing import Any

import torch
import torch.nn.functional as F

from pointmcd.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomCropViews:
    """Cut a random square out of each view, resize it and mirror it at random: one resampling for all three.

    Bilinear, from the four nearest pixels: make ``size`` at least half the side of the prepared views.

    Args:
        size: Side of the result, in pixels.
        smallest: Smallest side of the square, as a share of the view's side, in (0, 1]; drawn uniformly
            from [smallest, 1].
        flip: Probability of mirroring left to right.
    """

    def __init__(self, size: int = 112, smallest: float = 0.8, flip: float = 0.5) -> None:
        if not 0 < smallest <= 1:
            raise ValueError(f"RandomCropViews: smallest is {smallest}, but a share of the side is in (0, 1]")
        self.size, self.smallest, self.flip = size, smallest, flip

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return ``views`` (B, v, 3, H, W) uint8 to (B, v, 3, size, size) float32 in 0..1."""
        views = batch["views"]
        images = views.flatten(0, 1).float() / 255
        count, device = len(images), images.device
        side = torch.empty(count, device=device).uniform_(self.smallest, 1)
        center = torch.empty(2, count, device=device).uniform_(-1, 1) * (1 - side)
        mirror = 1 - 2 * (torch.rand(count, device=device) < self.flip).float()
        # Rows of the affine map from the result to the view, both in [-1, 1].
        zero = torch.zeros_like(side)
        across = torch.stack([mirror * side, zero, center[0]], -1)
        down = torch.stack([zero, side, center[1]], -1)
        grid = F.affine_grid(
            torch.stack([across, down], 1), [count, 3, self.size, self.size], align_corners=False
        )
        cut = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
        return {**batch, "views": cut.unflatten(0, views.shape[:2])}
