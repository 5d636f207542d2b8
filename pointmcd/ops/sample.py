"""Farthest point sampling."""

import torch
from torch import Tensor

from ._checks import check_rows, computable
from .dispatch import kernel


def farthest_point_sample(points: Tensor, count: int) -> Tensor:
    """Start at point 0 and add the point farthest from those chosen, until there are ``count``.

    (PointNet++, section 3.2: its iterative farthest point sampling.)

    Not differentiable. Once every point coincides with a chosen one, point 0 follows.

    Args:
        points: (B, N, 3) floating point, any unit.
        count: At most N.

    Returns:
        (B, count) int64 in the order of choice, equally far ones by index.

    Raises:
        ValueError: A shape or dtype does not fit, or ``count`` is not in [1, N].
    """
    check_rows("points", points, ("B", "N", 3))
    if not 1 <= count <= points.shape[1]:
        raise ValueError(f"count must be in [1, {points.shape[1]}], the number of points, got {count}")
    return _farthest_point_sample(computable(points.detach()), count)


@kernel(
    "farthest_point_sample(Tensor points, int count) -> Tensor",
    lambda points, count: points.new_empty(points.shape[0], count, dtype=torch.int64),
)
def _farthest_point_sample(points: Tensor, count: int) -> Tensor:
    batch, size = points.shape[:2]
    xyz = points.permute(2, 0, 1).contiguous()  # coordinate first: three long vectors
    chosen = torch.zeros(batch, count, dtype=torch.int64, device=points.device)
    distance = torch.full((batch, size), torch.inf, dtype=points.dtype, device=points.device)
    total, square = torch.empty_like(distance), torch.empty_like(distance)
    last = chosen[:, :1]
    for i in range(1, count):
        x, y, z = xyz.gather(2, last.expand(3, batch, 1))
        torch.sub(xyz[0], x, out=total).square_()
        total.add_(torch.sub(xyz[1], y, out=square).square_())
        total.add_(torch.sub(xyz[2], z, out=square).square_())
        torch.minimum(distance, total, out=distance)
        last = distance.max(1, keepdim=True).indices  # on the CPU six times faster than argmax
        chosen[:, i : i + 1] = last
    return chosen
