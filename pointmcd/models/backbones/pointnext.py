"""PointNeXt (Qian et al., PointNeXt: Revisiting PointNet++ with Improved Training and Scaling Strategies,
NeurIPS 2022; arXiv 2206.04670): its smallest network, PointNeXt-S.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pointmcd import ops
from pointmcd.batch import PointFeatures
from pointmcd.models.backbones.base import PointBackbone
from pointmcd.models.layers import FeaturePropagation, LinearNormAct, shared_mlp
from pointmcd.models.layers.set_abstraction import BallMLP, abstract
from pointmcd.registry import MODELS


class ResidualAbstraction(nn.Module):
    """Keep every second point: ``relu(max_j mlp([(x_j - c) / radius, f_j]) + linear(f_c))`` over its ball.

    The MLP's last layer has no activation of its own (section 3.2; the official network's set abstraction).

    Args:
        in_channels: Width of the features.
        radius: Of the ball, in units of the shape's bounding radius.
        k: Points taken of a ball.
        channels: Widths of the MLP, at least two.
    """

    def __init__(self, in_channels: int, radius: float, k: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.radius = radius
        self.ball = BallMLP(in_channels, 1.0, k, channels)  # of coordinates in units of the radius
        self.ball.last = LinearNormAct(channels[-2], channels[-1], negative_slope=1.0)
        self.skip = nn.Linear(in_channels, channels[-1])

    def forward(self, xyz: Tensor, feats: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map xyz (B, N, 3), feats (B, N, C) to (B, N // 2, 3), (B, N // 2, O), rows of xyz (B, N // 2)."""
        index = ops.farthest_point_sample(xyz.detach(), xyz.shape[1] // 2)
        centers, own = (x.gather(1, index.unsqueeze(-1).expand(-1, -1, x.shape[-1])) for x in (xyz, feats))
        found = self.ball(xyz / self.radius, feats, centers / self.radius)
        return centers, (found + self.skip(own)).relu(), index


@MODELS.register_module()
class PointNeXt(PointBackbone):
    """PointNeXt-S: a linear stem, four residual set abstractions that halve the points, a last shared MLP.

    The defaults are the official network for ModelNet40 and ScanObjectNN. Its point features are those
    before the last global max: a 16th of the points, 64 of 1024. Like PointNet++ it samples from the first
    point on, and of a crowded ball takes the first ones.

    Args:
        in_channels: Values of a point; all of them, x, y, z too, enter the stem.
        width: Of the stem; every abstraction doubles it.
        layers: Of the MLP of an abstraction, at least two: all but the last have half its width.
        radius: Of the first balls, in units of the shape's bounding radius.
        radius_scaling: From one level to the next.
        k: Points taken of a ball.
    """

    def __init__(
        self,
        in_channels: int = 3,
        width: int = 32,
        layers: int = 2,
        radius: float = 0.15,
        radius_scaling: float = 1.5,
        k: int = 32,
    ) -> None:
        super().__init__(in_channels)
        self.stem = nn.Linear(in_channels, width)
        self.widths = [width * 2**level for level in range(5)]
        self.levels = nn.ModuleList(
            ResidualAbstraction(
                out // 2, radius * radius_scaling**level, k, (*[out // 2] * (layers - 1), out)
            )
            for level, out in enumerate(self.widths[1:])
        )
        self.local_channels = sum(self.widths[1:])
        self.point_layers = shared_mlp(3 + self.widths[-1], self.widths[-1])
        self.fusion = LinearNormAct(self.widths[-1], self.widths[-1])

    def encode(self, points: Tensor) -> PointFeatures:
        self.check(points)
        if points.shape[1] < 2 ** len(self.levels):
            raise ValueError(
                f"{type(self).__name__} halves the points {len(self.levels)} times and needs "
                f"at least {2 ** len(self.levels)}, not {points.shape[1]}"
            )
        levels, point_index = abstract(self.levels, points[..., :3], self.stem(points))
        hidden = self.point_layers(torch.cat(levels[-1], -1))
        return {"hidden": hidden, "point_index": point_index, "levels": levels, "losses": {}}


@MODELS.register_module()
class PointNeXtSeg(PointNeXt):
    """``PointNeXt`` and the way back to all points, by feature propagation from level to level.

    The defaults are those of PointNeXt-S for ShapeNetPart, whose decoder also reads the category and two
    pooled features; here the head does that.

    Args: As ``PointNeXt``.
    """

    def __init__(
        self,
        in_channels: int = 3,
        width: int = 32,
        layers: int = 3,
        radius: float = 0.1,
        radius_scaling: float = 2.5,
        k: int = 32,
    ) -> None:
        super().__init__(in_channels, width, layers, radius, radius_scaling, k)
        self.propagation = nn.ModuleList(
            FeaturePropagation(own, 2 * own, (own, own)) for own in reversed(self.widths[:-1])
        )
        self.local_channels = width

    def local_feats(self, features: PointFeatures) -> Tensor:
        *levels, (coarse_xyz, coarse) = features["levels"]
        for layer, (xyz, own) in zip(self.propagation, reversed(levels), strict=True):
            coarse_xyz, coarse = xyz, layer(xyz, own, coarse_xyz, coarse)
        return coarse
