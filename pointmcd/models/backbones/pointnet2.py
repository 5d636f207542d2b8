"""PointNet++ (Qi et al., NeurIPS 2017; arXiv 1706.02413)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pointmcd.batch import PointFeatures
from pointmcd.models.backbones.base import PointBackbone
from pointmcd.models.layers import LinearNormAct, SetAbstraction, shared_mlp
from pointmcd.models.layers.set_abstraction import abstract
from pointmcd.registry import MODELS

Scales = Sequence[Sequence[dict[str, Any]]]

SSG: Scales = (
    ({"radius": 0.2, "k": 32, "channels": (64, 64, 128)},),
    ({"radius": 0.4, "k": 64, "channels": (128, 128, 256)},),
)
"""Single-scale grouping for classification (appendix B of the paper): levels of scales."""

MSG: Scales = (
    (
        {"radius": 0.1, "k": 16, "channels": (32, 32, 64)},
        {"radius": 0.2, "k": 32, "channels": (64, 64, 128)},
        {"radius": 0.4, "k": 128, "channels": (64, 96, 128)},
    ),
    (
        {"radius": 0.2, "k": 32, "channels": (64, 64, 128)},
        {"radius": 0.4, "k": 64, "channels": (128, 128, 256)},
        {"radius": 0.8, "k": 128, "channels": (128, 128, 256)},
    ),
)
"""Multi-scale grouping for classification."""


@MODELS.register_module()
class PointNet2(PointBackbone):
    """Set abstraction levels, then a shared MLP on the points that are left.

    Its point features are those before the last global max: with the defaults 128 points of 1024 channels.
    Unlike the other backbones, this one is not invariant to the order of points in general: sampling starts
    at the first, and of a crowded ball the first ones are taken.

    Args:
        in_channels: Values of a point; what follows x, y, z is a feature.
        num_points: Points that each level keeps, at most as many as it is given: the default is for 1024
            points; for 512, take fewer, such as (256, 64).
        scales: For each level a list of dicts with ``radius`` (in units of the shape's bounding radius),
            ``k`` and ``channels``.
        channels: Widths of the last MLP; its last one is C.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_points: Sequence[int] = (512, 128),
        scales: Scales = SSG,
        channels: Sequence[int] = (256, 512, 1024),
    ) -> None:
        super().__init__(in_channels)
        if len(num_points) != len(scales):
            raise ValueError(f"num_points has {len(num_points)} levels, scales has {len(scales)}")
        self.levels = nn.ModuleList()
        width, self.local_channels = in_channels - 3, 0
        for count, level in zip(num_points, scales, strict=True):
            layer = SetAbstraction(width, count, level)
            self.levels.append(layer)
            width = layer.out_channels
            self.local_channels += width
        widths = (3 + width, *channels[:-1])
        self.point_layers = shared_mlp(*widths)
        self.fusion = LinearNormAct(widths[-1], channels[-1])

    def encode(self, points: Tensor) -> PointFeatures:
        self.check(points)
        levels, point_index = abstract(self.levels, points[..., :3], points[..., 3:])
        hidden = self.point_layers(torch.cat(levels[-1], -1))
        return {"hidden": hidden, "point_index": point_index, "levels": levels, "losses": {}}


@MODELS.register_module()
class PointNet2MSG(PointNet2):
    """``PointNet2`` with the paper's multi-scale grouping.

    Args: As ``PointNet2``.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_points: Sequence[int] = (512, 128),
        scales: Scales = MSG,
        channels: Sequence[int] = (256, 512, 1024),
    ) -> None:
        super().__init__(in_channels, num_points, scales, channels)
