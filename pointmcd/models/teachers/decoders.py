"""What image teachers are trained through: a descriptor to an image, a feature pyramid to part logits."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd.models.layers import LinearNormAct

MIN_CHANNELS = 32  # of a decoder's layer, however thin the trunk is at its resolution


class ConvNormAct(nn.Module):
    """Convolution (no bias), batch norm, ReLU: (B, in, H, W) -> (B, out, H, W).

    Args:
        in_channels: Input width.
        out_channels: Output width.
        kernel_size: Odd side of the convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)), inplace=True)


class ImageDecoder(nn.Module):
    """Descriptor (B, D) -> image (B, 3, S, S) with unbounded values.

    Source: the official ``CNN_Backbone_Pretrainer`` (S = 224): a linear layer gives 256 channels of a 32nd of
    the side, which four convolutions widen, each after a bilinear upsampling by 2; a last upsampling and
    convolution give the image.

    Args:
        in_channels: D.
        image_size: S, pixels a side; where 32 does not divide it, the last upsampling is by less than 2.
    """

    widths = (256, 256, 128, 64, 32)

    def __init__(self, in_channels: int, image_size: int) -> None:
        super().__init__()
        self.image_size = image_size
        self.side = -(-image_size // 32)
        self.lift = LinearNormAct(in_channels, self.widths[0] * self.side**2)
        self.convs = nn.ModuleList(ConvNormAct(i, o) for i, o in pairwise(self.widths))
        self.output = nn.Conv2d(self.widths[-1], 3, 3, padding=1, bias=False)

    def forward(self, descriptor: Tensor) -> Tensor:
        x = self.lift(descriptor).view(-1, self.widths[0], self.side, self.side)
        for conv in self.convs:
            x = conv(_resized(x, 2 * x.shape[-1]))
        return self.output(_resized(x, self.image_size))


class PartDecoder(nn.Module):
    """Feature pyramid and category -> logits of each pixel's part, from coarse to fine with skips (U-Net).

    Source: the official ``Teacher_Seg``: descriptor and category code are fused to 128 channels and laid
    over the coarsest level; every further layer is as wide as the level that it takes in, and the last half
    as wide as the finest.

    Args:
        channels: Width of each level, finest first.
        num_classes: K, categories.
        num_parts: P; the last of the P + 1 logits is the background's.
    """

    def __init__(self, channels: Sequence[int], num_classes: int, num_parts: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        *skips, coarsest = channels
        self.category = LinearNormAct(num_classes, 64)
        self.fuse = LinearNormAct(coarsest + 64, 128)
        self.bottom = ConvNormAct(coarsest + 128, coarsest, 1)
        width, layers = coarsest, []
        for skip in reversed(skips):
            layers.append(ConvNormAct(skip + width, max(skip, MIN_CHANNELS)))
            width = layers[-1].norm.num_features
        self.convs = nn.ModuleList(layers)
        self.last = ConvNormAct(width, max(channels[0] // 2, MIN_CHANNELS))
        self.output = nn.Conv2d(self.last.norm.num_features, num_parts + 1, 3, padding=1, bias=False)

    def forward(self, levels: list[Tensor], category: Tensor, image_size: int) -> Tensor:
        """Return part logits.

        Args:
            levels: Of B images, finest first.
            category: (B,) int64 in [0, K).
            image_size: S, pixels a side.

        Returns:
            (B, P + 1, S, S).
        """
        *skips, x = levels
        one_hot = F.one_hot(category, self.num_classes).to(x.dtype)
        code = self.fuse(torch.cat([x.mean((-2, -1)), self.category(one_hot)], 1))
        x = self.bottom(torch.cat([x, code[:, :, None, None].expand(-1, -1, *x.shape[-2:])], 1))
        for skip, conv in zip(reversed(skips), self.convs, strict=True):
            x = conv(torch.cat([skip, _resized(x, skip.shape[-1])], 1))
        return self.output(self.last(_resized(x, image_size)))


def _resized(x: Tensor, size: int) -> Tensor:
    """Map (B, C, h, h) to (B, C, size, size), bilinear with aligned corners, as the official decoders."""
    return F.interpolate(x, (size, size), mode="bilinear", align_corners=True)
