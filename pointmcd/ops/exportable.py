"""The kernels in forms that travel: plain torch without loops over data, without writing in place, and with a
batch of any size, as ``torch.export`` and ONNX need them.

They are for a trained network that is used: points must be finite, and nothing is learned from them. Choices
and ties are those of the kernels.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pointmcd.ops.knn import DIRECT
from pointmcd.ops.rows import as_rows, flat_rows

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def without_kernels(program: "ExportedProgram") -> "ExportedProgram":
    """Return a program of the same values in which no ``pointmcd::`` operator is left.

    Args:
        program: A student in eval mode, as ``torch.export.export`` gives it.
    """
    return program.run_decompositions(FORMS)


def knn(points: Tensor, queries: Tensor, k: int) -> Tensor:
    return _square_distances(queries, points).topk(k, largest=False).indices


def ball_query(points: Tensor, centers: Tensor, radius: float, k: int) -> Tensor:
    size = points.shape[1]
    distance = _square_distances(centers, points)
    # the first in order of index are those with the most points behind them
    behind = torch.arange(size, 0, -1, device=points.device, dtype=torch.float32)
    rank, found = torch.where(distance <= radius**2, behind, 0.0).topk(min(k, size), -1)
    inside = rank > 0
    first = torch.where(inside[..., :1], found[..., :1], distance.argmin(-1, keepdim=True))
    found = torch.where(inside, found, first)
    return torch.cat([found, first.expand(-1, -1, k - min(k, size))], -1) if k > size else found


def farthest_point_sample(points: Tensor, count: int) -> Tensor:
    from torch._higher_order_ops.scan import scan

    def choose(carried: tuple[Tensor, Tensor], _: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        nearest, last = carried
        center = points.gather(1, last.unsqueeze(-1).expand(-1, -1, 3))
        nearest = torch.minimum(nearest, _square_distances(center, points).squeeze(1))
        return (nearest, nearest.argmax(1, keepdim=True)), last.clone()

    nearest = torch.full_like(points[..., 0], torch.inf)
    start = (nearest, torch.zeros_like(nearest[:, :1], dtype=torch.int64))
    _, chosen = scan(choose, start, torch.zeros(count, device=points.device))
    return chosen.squeeze(-1).T


def group(per_point: Tensor, per_center: Tensor, index: Tensor) -> Tensor:
    return _gather(per_point, index) - per_center[:, :, None]


def nearest_weights(points: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    nearest, index = _square_distances(queries, points).topk(k, largest=False)
    # as 1 / (nearest + 1e-8), but ONNX's optimizer takes a summand so small for zero
    weight = 1 / (1e8 * nearest + 1)
    return index, weight / weight.sum(-1, keepdim=True)


def weighted_sum(feats: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    return (_gather(feats, index) * weight[..., None]).sum(2)


def edge_max(pq: Tensor, neighbors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    p, q = pq.chunk(2, -1)
    extremum = p + _gather(q, neighbors).amax(2)
    return extremum, *_unused(extremum)


def linear_pool(
    x: Tensor,
    weight: Tensor,
    masks: Tensor,
    views: int,
    with_sums: bool,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    negative_slope: float = 1.0,
    rounds: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    if views != 1 or with_sums:
        raise NotImplementedError("a student in use pools over all of its points, not over views")
    if scale is not None and shift is not None:
        x = affine_act(x, scale, shift, negative_slope)
    pooled = (x @ weight.T).amax(1, keepdim=True)
    return pooled, *_unused(pooled)


def affine_act(
    x: Tensor, scale: Tensor, shift: Tensor, negative_slope: float, ceiling: float | None = None
) -> Tensor:
    y = x * scale + shift
    if negative_slope != 1:
        y = F.leaky_relu(y, negative_slope) if negative_slope else y.relu()
    return y if ceiling is None else y.clamp(max=ceiling)


def act_linear(
    x: Tensor, scale: Tensor, shift: Tensor, negative_slope: float, weight: Tensor, rounds: bool
) -> Tensor:
    return affine_act(x, scale, shift, negative_slope) @ weight.T


KERNELS = (
    knn,
    ball_query,
    farthest_point_sample,
    group,
    nearest_weights,
    weighted_sum,
    edge_max,
    linear_pool,
    affine_act,
    act_linear,
)
FORMS: dict[Any, Callable[..., Any]] = {
    getattr(torch.ops.pointmcd, form.__name__).default: form for form in KERNELS
}


def _unused(like: Tensor) -> tuple[Tensor, Tensor]:
    """Stand in for the argmax and the sums that only training reads."""
    return torch.zeros_like(like, dtype=torch.int32), like.new_zeros(2, like.shape[-1], dtype=torch.float64)


def _square_distances(queries: Tensor, points: Tensor) -> Tensor:
    """Return (B, Q, N); in more than a few dimensions less the query's own squared norm, as in ``knn``."""
    if points.shape[2] > DIRECT:
        center = points.mean(1, keepdim=True)
        queries, points = queries - center, points - center
        return points.square().sum(-1)[:, None] - 2 * queries @ points.transpose(1, 2)
    axes = zip(queries[:, :, None].unbind(-1), points[:, None].unbind(-1), strict=True)
    total, *others = ((q - p) * (q - p) for q, p in axes)
    for square in others:  # in this order, so that sums are rounded as the kernels round them
        total = total + square
    return total


def _gather(x: Tensor, index: Tensor) -> Tensor:
    """Take x (B, N, C) and index (B, M, k) to (B, M, k, C)."""
    rows = as_rows(x).index_select(0, flat_rows(index, x.shape[1]).flatten())
    return rows.view(*index.shape, x.shape[-1])
