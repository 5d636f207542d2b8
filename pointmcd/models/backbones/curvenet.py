"""CurveNet (Xiang et al., Walk in the Cloud, ICCV 2021; arXiv 2105.01288)."""

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd import ops
from pointmcd.batch import PointFeatures
from pointmcd.models.backbones.base import PointBackbone
from pointmcd.models.layers import FeaturePropagation, LinearNormAct, shared_mlp
from pointmcd.registry import MODELS

SLOPE = 0.2  # of every leaky ReLU


class PointOffsets(LinearNormAct):
    """``act(norm(linear([x_i, x_j, x_j - x_i])))`` for every neighbour j of i.

    Args:
        in_channels: C; the linear layer takes 3 C.
        out_channels: O.
        negative_slope: Of the leaky ReLU; 1: none.
    """

    def __init__(self, in_channels: int, out_channels: int, negative_slope: float = 1.0) -> None:
        super().__init__(3 * in_channels, out_channels, negative_slope=negative_slope)

    def forward(self, x: Tensor, index: Tensor | None = None) -> Tensor:
        """Map x (B, N, C), index (B, N, k) to (B, N, k, O)."""
        assert index is not None
        near = ops.group(x, None, index)
        own = x.unsqueeze(2).expand_as(near)
        return self.norm_act(self.linear(torch.cat((own, near, near - own), -1)))


class LocalAggregation(nn.Module):
    """``mean_j mlp(act(f_j - f_i + offsets_ij))``: a point beside its neighbours (LPFA, section 3.4).

    Args:
        channels: C, in and out.
        layers: Of the MLP.
    """

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        self.offsets = PointOffsets(3, channels)
        self.mlp = shared_mlp(*[channels] * (layers + 1), negative_slope=SLOPE)

    def forward(self, xyz: Tensor, feats: Tensor, index: Tensor) -> Tensor:
        """Map xyz (B, N, 3), feats (B, N, C) and index (B, N, k) to (B, N, C)."""
        edges = ops.group(feats, feats, index) + self.offsets(xyz, index)
        return self.mlp(F.leaky_relu(edges, SLOPE)).mean(2)


class CurveWalk(nn.Module):
    """Walk from point to neighbour, from the points that a gate prefers (curve grouping, 3.1 and 3.2).

    Where to go next is decided by the features of the neighbours and a running mean of those that the curve
    has come through; a neighbour that lies back along the curve counts less (crossover suppression). The
    choice is hard, its gradient that of the softmax (straight through).

    Args:
        channels: C.
        curves: Their number, at most N.
        length: Points of each, in [1, 100].
    """

    def __init__(self, channels: int, curves: int, length: int) -> None:
        super().__init__()
        if curves < 1 or not 1 <= length <= 100:
            raise ValueError(f"needs at least one curve, of 1 to 100 points, not {curves} of {length}")
        self.curves, self.length = curves, length
        self.gate = nn.Linear(channels, 1, bias=False)
        self.agent = LinearNormAct(2 * channels, 1, negative_slope=1.0)
        self.momentum = LinearNormAct(2 * channels, 2, negative_slope=1.0)

    def forward(self, feats: Tensor, index: Tensor) -> Tensor:
        """Map feats (B, N, C), index (B, N, k), neighbours without the point to (B, curves, length, C)."""
        if feats.shape[1] < self.curves:
            raise ValueError(
                f"{self.curves} curves need that many points to start from, not {feats.shape[1]}"
            )
        gate = self.gate(feats).sigmoid()
        feats = feats * gate
        here = gate.squeeze(-1).topk(self.curves, 1).indices
        now = walked = feats.gather(1, here.unsqueeze(-1).expand(-1, -1, feats.shape[-1]))
        of_near, of_walked = self.agent.linear.weight.chunk(2, 1)
        steps: list[Tensor] = []
        for _ in range(self.length):
            if steps:
                share = self.momentum(torch.cat((now, walked), -1)).softmax(-1)
                walked = share[..., :1] * now + share[..., 1:] * walked
            near = index.gather(1, here.unsqueeze(-1).expand(-1, -1, index.shape[-1]))
            values = ops.group(feats, None, near)
            score = self.agent.norm_act(F.linear(values, of_near) + F.linear(walked, of_walked).unsqueeze(2))
            score = score.squeeze(-1)
            if steps:
                score = score * onward(now - walked, values - now.unsqueeze(2))
            choice = straight_through(score)
            now = (values * choice.unsqueeze(-1)).sum(2)
            here = near.gather(2, score.argmax(-1, keepdim=True)).squeeze(-1)
            steps.append(now)
        return torch.stack(steps, 2)


def onward(direction: Tensor, steps: Tensor) -> Tensor:
    """Return ``1 + cosine`` of each step to the direction, at most 1, without a gradient.

    Args:
        direction: (B, n, C).
        steps: (B, n, k, C).

    Returns:
        (B, n, k) in [0, 1].
    """
    direction, steps = direction.detach().unsqueeze(2), steps.detach()
    length = (direction.norm(dim=-1) * steps.norm(dim=-1)).clamp(min=1e-8)
    return (1 + (direction * steps).sum(-1) / length).clamp(0, 1)


def straight_through(score: Tensor) -> Tensor:
    """Return 1 for the largest of the last axis and 0 for the others, with the softmax's gradient."""
    soft = score.softmax(-1)
    hard = torch.zeros_like(soft).scatter(-1, score.argmax(-1, keepdim=True), 1.0)
    return hard - soft.detach() + soft


class CurveAggregation(nn.Module):
    """Add to each point what it finds, by attention, along the curves and across them (section 3.3).

    Args:
        channels: C, even.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.weigh = nn.Linear(channels, 1, bias=False)
        self.along_keys, self.across_keys, self.queries = (
            nn.Linear(channels, half, bias=False) for _ in range(3)
        )
        self.along_values, self.across_values = (nn.Linear(half, half, bias=False) for _ in range(2))
        self.merge = LinearNormAct(channels, channels, negative_slope=1.0)

    def forward(self, feats: Tensor, curves: Tensor) -> Tensor:
        """Map feats (B, N, C), curves (B, n, l, C) to (B, N, C)."""
        weight = self.weigh(curves)
        along = self.along_keys((curves * weight.softmax(2)).sum(2))  # a row a curve
        across = self.across_keys((curves * weight.softmax(1)).sum(1))  # a row a step
        query = self.queries(feats)
        found = [
            (query @ keys.mT).softmax(-1) @ values(keys)
            for keys, values in ((along, self.along_values), (across, self.across_values))
        ]
        return F.leaky_relu(feats + self.merge(torch.cat(found, -1)), SLOPE)


class CurveBlock(nn.Module):
    """A bottleneck with curves and local aggregation inside (CIC, figure 4 of the paper).

    Args:
        in_channels: Width of the features.
        out_channels: O.
        k: Neighbours of a point, at most as many as there are.
        bottleneck: The features inside are so many times narrower than ``in_channels``.
        layers: Of the local aggregation's MLP.
        curves: Number and length of the curves; None: no curves.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        k: int,
        bottleneck: int,
        layers: int,
        curves: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        inside = in_channels // bottleneck
        self.k = k
        self.narrow = LinearNormAct(in_channels, inside, negative_slope=SLOPE)
        self.walk = None if curves is None else CurveWalk(inside, *curves)
        self.aggregate = None if curves is None else CurveAggregation(inside)
        self.local = LocalAggregation(inside, layers)
        self.widen = LinearNormAct(inside, out_channels, negative_slope=1.0)
        same = in_channels == out_channels
        self.skip = None if same else LinearNormAct(in_channels, out_channels, negative_slope=1.0)

    def forward(self, xyz: Tensor, feats: Tensor) -> Tensor:
        """Map xyz (B, N, 3) and feats (B, N, C) to (B, N, O)."""
        k = min(self.k, xyz.shape[1] - 1)
        index = ops.knn(xyz, k + 1)
        x = self.narrow(feats)
        if self.walk is not None and self.aggregate is not None:
            x = self.aggregate(x, self.walk(x, index[..., 1:]))
        x = self.widen(self.local(xyz, x, index[..., :k]))
        return F.leaky_relu(x + (feats if self.skip is None else self.skip(feats)), SLOPE)


@MODELS.register_module()
class CurveNet(PointBackbone):
    """Levels of two ``CurveBlock`` each, on ever fewer points.

    The defaults are the official network for ModelNet40: 1024, 1024, 256 and 64 points. Unlike there, the
    last layer feeds a max pool only, not a mean beside it. Its point features are those of the last level.

    Args:
        in_channels: Values of a point; all of them enter the first layer, neighbours are found by x, y, z.
        width: Of the first layer.
        channels: Width of each level.
        strides: Of how many points each level keeps one, farthest points first.
        radii: In which a kept point takes the maximum of the features, where the stride is above 1; in units
            of the shape's bounding radius.
        k: Neighbours of a point.
        curves: For each level the number and length of its curves, or None.
        layers: Of the local aggregations.
        out_channels: C.
    """

    def __init__(
        self,
        in_channels: int = 3,
        width: int = 32,
        channels: Sequence[int] = (64, 128, 256, 512),
        strides: Sequence[int] = (1, 1, 4, 4),
        radii: Sequence[float] = (0.05, 0.05, 0.1, 0.2),
        k: int = 20,
        curves: Sequence[Sequence[int] | None] = ((100, 5), (100, 5), None, None),
        layers: int = 1,
        out_channels: int = 1024,
    ) -> None:
        super().__init__(in_channels)
        if not len(channels) == len(strides) == len(radii) == len(curves):
            raise ValueError(
                f"channels, strides, radii and curves have {len(channels)}, {len(strides)}, {len(radii)} and "
                f"{len(curves)} levels"
            )
        self.k, self.strides, self.radii = k, list(strides), list(radii)
        self.first = PointOffsets(in_channels, width, negative_slope=SLOPE)
        self.levels = nn.ModuleList()
        before = width
        for out, walk in zip(channels, curves, strict=True):
            blocks = CurveBlock(before, out, k, 2, layers, walk), CurveBlock(out, out, k, 4, layers, walk)
            self.levels.append(nn.ModuleList(blocks))
            before = out
        self.fusion = LinearNormAct(before, out_channels)
        self.local_channels = sum(channels)

    def encode(self, points: Tensor) -> PointFeatures:
        self.check(points)
        if points.shape[1] < (least := 2 * math.prod(self.strides)):  # a last point has a neighbour
            raise ValueError(f"strides of {self.strides} need at least {least} points, not {points.shape[1]}")
        xyz, point_index = points[..., :3], None
        feats = self.first(points, ops.knn(xyz, self.k)).amax(2)
        levels = [(xyz, feats)]
        for stride, radius, blocks in zip(self.strides, self.radii, self.levels, strict=True):
            if stride > 1:
                kept = ops.farthest_point_sample(xyz.detach(), xyz.shape[1] // stride)
                point_index = kept if point_index is None else point_index.gather(1, kept)
                centers = xyz.gather(1, kept.unsqueeze(-1).expand(-1, -1, 3))
                feats = ops.group(feats, None, ops.ball_query(xyz, centers, radius, self.k)).amax(2)
                xyz = centers
            for block in cast(nn.ModuleList, blocks):
                feats = block(xyz, feats)
            levels.append((xyz, feats))
        return {"hidden": feats, "point_index": point_index, "levels": levels, "losses": {}}

    def extra_repr(self) -> str:
        return f"strides={self.strides}, radii={self.radii}, k={self.k}"


@MODELS.register_module()
class CurveNetSeg(CurveNet):
    """``CurveNet`` and the way back to all points: feature propagation, and a block without curves.

    Smaller than the official network for ShapeNetPart: four levels, 2048 to 32 points, instead of five, and
    no attention gates in the decoder.

    Args: As ``CurveNet``.
    """

    def __init__(
        self,
        in_channels: int = 3,
        width: int = 32,
        channels: Sequence[int] = (64, 128, 256, 512),
        strides: Sequence[int] = (1, 4, 4, 4),
        radii: Sequence[float] = (0.2, 0.4, 0.8, 1.2),
        k: int = 32,
        curves: Sequence[Sequence[int] | None] = ((100, 5), (100, 5), None, None),
        layers: int = 2,
        out_channels: int = 1024,
    ) -> None:
        super().__init__(in_channels, width, channels, strides, radii, k, curves, layers, out_channels)
        fine_to_coarse = [width, *channels]
        self.propagation, self.blocks = nn.ModuleList(), nn.ModuleList()
        for own, coarse in zip(fine_to_coarse[-2::-1], fine_to_coarse[:0:-1], strict=True):
            self.propagation.append(FeaturePropagation(own, coarse, (own, own)))
            self.blocks.append(CurveBlock(own, own, k, 4, layers))
        self.local_channels = width

    def local_feats(self, features: PointFeatures) -> Tensor:
        *levels, (coarse_xyz, coarse) = features["levels"]
        for layer, block, (xyz, own) in zip(self.propagation, self.blocks, reversed(levels), strict=True):
            coarse_xyz, coarse = xyz, block(xyz, layer(xyz, own, coarse_xyz, coarse))
        return coarse
