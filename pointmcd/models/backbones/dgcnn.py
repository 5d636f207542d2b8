"""DGCNN (Wang et al., Dynamic Graph CNN for Learning on Point Clouds, ACM TOG 2019; arXiv 1801.07829)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pointmcd.models.backbones.base import PointBackbone
from pointmcd.models.layers import EdgeConv, LinearNormAct
from pointmcd.registry import MODELS


@MODELS.register_module()
class DGCNN(PointBackbone):
    """EdgeConv layers, each on the kNN graph of its own input, concatenated and fused point by point.

    The defaults are the official PointMCD student for classification. Unlike in the network of the DGCNN
    paper, the fusion layer ends in a ReLU and feeds a max pool only.

    Args:
        in_channels: Values of a point.
        channels: Widths of the EdgeConv layers.
        k: Neighbours of a point, itself included.
        out_channels: C, width of the fused features.
    """

    def __init__(
        self,
        in_channels: int = 3,
        channels: Sequence[int] = (64, 64, 128, 256),
        k: int = 20,
        out_channels: int = 1024,
    ) -> None:
        super().__init__(in_channels)
        widths = (in_channels, *channels)
        self.edge_convs = nn.ModuleList(
            EdgeConv(width, out, k) for width, out in zip(widths, channels, strict=False)
        )
        self.fusion = LinearNormAct(sum(channels), out_channels)

    def encode(self, points: Tensor) -> dict[str, Any]:
        self.check(points)
        x, levels = points, []
        for edge_conv in self.edge_convs:
            x = edge_conv(x)
            levels.append(x)
        return {"hidden": torch.cat(levels, -1), "point_index": None, "losses": {}}
