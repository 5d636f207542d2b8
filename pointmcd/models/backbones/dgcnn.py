"""DGCNN (Wang et al., Dynamic Graph CNN for Learning on Point Clouds, ACM TOG 2019; arXiv 1801.07829)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pointmcd.batch import PointFeatures
from pointmcd.models.backbones.base import PointBackbone
from pointmcd.models.layers import EdgeConv, EdgeMLP, LinearNormAct
from pointmcd.registry import MODELS


@MODELS.register_module()
class DGCNN(PointBackbone):
    """EdgeConv layers, each on the kNN graph of its own input, concatenated and fused point by point.

    The defaults are the official PointMCD student for classification. Unlike in the network of the DGCNN
    paper, the fusion layer ends in a ReLU and feeds a max pool only. Its local features are the concatenated
    outputs of the EdgeConv layers.

    Args:
        in_channels: Values of a point.
        channels: Width of each EdgeConv layer, or the widths of its layers where an MLP acts on the edges.
        k: Neighbours of a point, itself included.
        out_channels: C, width of the fused features.
    """

    def __init__(
        self,
        in_channels: int = 3,
        channels: Sequence[int | Sequence[int]] = (64, 64, 128, 256),
        k: int = 20,
        out_channels: int = 1024,
    ) -> None:
        super().__init__(in_channels)
        self.edge_convs = nn.ModuleList()
        width, self.local_channels = in_channels, 0
        for out in channels:
            layer = EdgeConv(width, out, k) if isinstance(out, int) else EdgeMLP(width, out, k)
            self.edge_convs.append(layer)
            width = layer.out_channels
            self.local_channels += width
        self.fusion = LinearNormAct(self.local_channels, out_channels)

    def encode(self, points: Tensor) -> PointFeatures:
        self.check(points)
        x, levels = points, []
        for edge_conv in self.edge_convs:
            x = edge_conv(x)
            levels.append(x)
        return {"hidden": torch.cat(levels, -1), "point_index": None, "losses": {}}

    def local_feats(self, features: PointFeatures) -> Tensor:
        return features["hidden"]


@MODELS.register_module()
class DGCNNSeg(DGCNN):
    """``DGCNN`` for part segmentation: larger neighbourhoods, and two layers on the edges of the first two.

    The defaults are the official PointMCD student for part segmentation.

    Args: As ``DGCNN``.
    """

    def __init__(
        self,
        in_channels: int = 3,
        channels: Sequence[int | Sequence[int]] = ((64, 64), (64, 64), 64),
        k: int = 40,
        out_channels: int = 1024,
    ) -> None:
        super().__init__(in_channels, channels, k, out_channels)
