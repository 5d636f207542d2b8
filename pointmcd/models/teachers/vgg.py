"""The encoder of PointMCD's teachers for part segmentation and unsupervised pre-training."""

import torch
from torch import Tensor, nn

WIDTHS = (
    64,
    None,
    128,
    None,
    256,
    256,
    None,
    512,
    512,
    None,
    512,
    512,
)  # None: pool by 2
STAGE = 7  # layers, after which comes attention


class SpatialAttention(nn.Module):
    """``x + x * sigmoid(conv(mean and maximum over channels))``: (B, C, H, W) -> (B, C, H, W).

    Source: the spatial half of CBAM (Woo et al., 2018), without its batch norm and with a residual.

    Args:
        kernel_size: Odd side of the convolution.
    """

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x + x * self.conv(pooled).sigmoid()


class ChannelAttention(nn.Module):
    """``x + x * sigmoid(mlp(mean over pixels) + mlp(maximum over pixels))``: (B, C, H, W) -> (B, C, H, W).

    Source: the channel half of CBAM (Woo et al., 2018), with a residual.

    Args:
        channels: C.
        ratio: By what factor the hidden layer is narrower.
    """

    def __init__(self, channels: int, ratio: int = 8) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // ratio, bias=False)
        self.excite = nn.Linear(channels // ratio, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.stack([x.mean((2, 3)), x.amax((2, 3))])
        weight = self.excite(self.squeeze(pooled).relu()).sum(0).sigmoid()
        return x + x * weight[:, :, None, None]


class VGG11Attention(nn.Module):
    """The first 28 feature layers of VGG11 with batch norm, in four stages that each end in attention.

    Source: the official ``CNN_Backbone``: spatial attention (kernels 7 and 5) after the two fine stages,
    channel attention (ratio 8) after the two coarse ones. Every level is non-negative.

    Attributes:
        channels: Width of each level, finest first.
        strides: How many pixels of the image a cell of each level is wide.
    """

    channels = (128, 256, 512, 512)
    strides = (2, 4, 8, 16)

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential()  # numbered as timm and torchvision number them
        width = 3
        for out in WIDTHS:
            if out is None:
                self.features.append(nn.MaxPool2d(2))
            else:
                layers = nn.Conv2d(width, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(inplace=True)
                self.features.extend(layers)
                width = out
        self.attentions = nn.ModuleList(
            [SpatialAttention(7), SpatialAttention(5), ChannelAttention(512), ChannelAttention(512)]
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map images (B, 3, H, W) to levels (B, 128, H / 2, W / 2) to (B, 512, H / 16, W / 16)."""
        levels, x = [], images
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number % STAGE == STAGE - 1:
                x = self.attentions[number // STAGE](x)
                levels.append(x)
        return levels

    def load_timm(self, state: dict[str, Tensor], source: str) -> None:
        """Load weights of ``vgg11_bn`` as named by timm and torchvision; see `TimmPyramid.load_timm`."""
        prefix = "features."
        features = {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}
        try:
            self.features.load_state_dict(features)
        except RuntimeError as error:
            raise ValueError(f"the weights of {source} are not those of vgg11_bn: {error}") from error
