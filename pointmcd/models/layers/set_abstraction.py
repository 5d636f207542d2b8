"""Set abstraction (Qi et al., PointNet++, section 3.2; NeurIPS 2017)."""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd import ops
from pointmcd.models.layers.norm import LinearNormAct, pool_edges, shared_mlp


class BallMLP(nn.Module):
    """A shared MLP over the points of a ball around each centre, max pooled: one scale of a set abstraction.

    The first linear layer acts on ``[x_j - c, f_j]``. Its product with the features is taken of the N points
    before they are grouped, which spares it the k copies of a point; that with the coordinates after, as a
    difference of two products would lose digits.

    Args:
        in_channels: C, width of the point features without x, y, z.
        radius: Of the ball, in units of the shape's bounding radius.
        k: Points taken of a ball (the first ones by index).
        channels: Widths of the MLP, at least two.
    """

    def __init__(self, in_channels: int, radius: float, k: int, channels: Sequence[int]) -> None:
        super().__init__()
        if len(channels) < 2:
            raise ValueError(f"a set abstraction's MLP needs at least two layers, not channels={channels}")
        self.radius = radius
        self.k = k
        self.first = LinearNormAct(3 + in_channels, channels[0])
        self.middle = shared_mlp(*channels[:-1])
        self.last = LinearNormAct(channels[-2], channels[-1])

    def forward(self, xyz: Tensor, feats: Tensor, centers: Tensor) -> Tensor:
        """Map xyz (B, N, 3), feats (B, N, C) and centers (B, M, 3) to (B, M, O)."""
        index = ops.ball_query(xyz, centers, self.radius, self.k)
        weight = self.first.linear.weight
        offsets, of_offsets = ops.group(xyz, centers, index), weight[:, :3]
        if feats.shape[-1]:
            x = ops.group(ops.linear(feats, weight[:, 3:]), None, index)
            x.flatten(0, 2).addmm_(offsets.flatten(0, 2).to(x), of_offsets.T.to(x))  # no copy for the sum
        else:
            with ops.without_autocast(xyz):  # coordinates keep their digits
                x = F.linear(offsets, of_offsets)
        return pool_edges(x, [self.first, *self.middle, self.last])

    def extra_repr(self) -> str:
        return f"radius={self.radius}, k={self.k}"


def abstract(
    layers: Iterable[nn.Module], xyz: Tensor, feats: Tensor
) -> tuple[list[tuple[Tensor, Tensor]], Tensor | None]:
    """Abstract a cloud again and again.

    Args:
        layers: Each as ``SetAbstraction``.
        xyz: (B, N, 3).
        feats: (B, N, C).

    Returns:
        Coordinates and features of every level, the given ones first, and the rows of ``xyz`` (B, M) that the
        last level keeps; None where there are no layers.
    """
    levels, index = [(xyz, feats)], None
    for layer in layers:
        xyz, feats, kept = layer(*levels[-1])
        levels.append((xyz, feats))
        index = kept if index is None else index.gather(1, kept)
    return levels, index


class SetAbstraction(nn.Module):
    """Keep M well spread points and describe the neighbourhood of each at one or several scales.

    Args:
        in_channels: C, width of the point features without x, y, z (0: none).
        num_points: M, the points kept, by farthest point sampling from point 0.
        scales: Arguments of a ``BallMLP`` each: radius, k, channels.
    """

    def __init__(self, in_channels: int, num_points: int, scales: Sequence[dict]) -> None:
        super().__init__()
        self.num_points = num_points
        self.scales = nn.ModuleList(BallMLP(in_channels, **scale) for scale in scales)
        self.out_channels = sum(scale["channels"][-1] for scale in scales)

    def forward(self, xyz: Tensor, feats: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Abstract a cloud.

        Args:
            xyz: (B, N, 3).
            feats: (B, N, C); C may be 0.

        Returns:
            Centres (B, M, 3), their features (B, M, out_channels), and their rows in ``xyz`` (B, M) int64.

        Raises:
            ValueError: N is below M.
        """
        if xyz.shape[1] < self.num_points:
            raise ValueError(
                f"this set abstraction keeps {self.num_points} points, but is given {xyz.shape[1]}; "
                "lower num_points of the backbone or raise the number of points of the dataset"
            )
        index = ops.farthest_point_sample(xyz.detach(), self.num_points)
        centers = xyz.gather(1, index.unsqueeze(-1).expand(-1, -1, 3))
        return centers, torch.cat([scale(xyz, feats, centers) for scale in self.scales], -1), index

    def extra_repr(self) -> str:
        return f"num_points={self.num_points}"
