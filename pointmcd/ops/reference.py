"""Plain torch twins of the operations: the formulas as the papers write them, slow, differentiable.

They are what every backend is tested against. Arguments are those of the public functions, unchecked.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from pointmcd.ops.norm import Norm
from pointmcd.ops.rows import as_rows


def visibility_pool(feats: Tensor, visibility: Tensor, num_views: int, with_global: bool = False) -> Tensor:
    """Return max over n of (visible_vn * feats_n), hidden points counting as 0."""
    views = torch.arange(num_views, device=feats.device)
    visible = (visibility[:, None, :] >> views[None, :, None]) & 1  # (B, V, M)
    pooled = torch.where(visible[..., None] > 0, feats[:, None], 0).amax(2).clamp_min(0)
    return torch.cat([pooled, feats.amax(1, keepdim=True)], 1) if with_global else pooled


def batch_norm_act(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
    negative_slope: float = 0.0,
    ceiling: float = torch.inf,
) -> Tensor:
    rows = as_rows(x)
    mean, var = running_mean, running_var
    if training:
        mean, var = rows.mean(0), rows.var(0, correction=0)
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_(rows.var(0).to(running_var.dtype), momentum)
    y = (x - mean) / torch.sqrt(var + eps) * weight + bias
    return F.leaky_relu(y, negative_slope).clamp_max(ceiling)


def depthwise_conv(
    x: Tensor, weight: Tensor, stride: tuple[int, int] = (1, 1), padding: tuple[int, int] = (0, 0)
) -> Tensor:
    images = F.pad(x.permute(0, 3, 1, 2), (padding[1], padding[1], padding[0], padding[0]))
    side = weight.shape[-1]
    windows = images.unfold(2, side, stride[0]).unfold(3, side, stride[1])
    return torch.einsum("bchwij,cij->bhwc", windows, weight[:, 0])


def norm_act_linear(
    x: Tensor,
    weight: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
    negative_slope: float = 0.0,
) -> Tensor:
    norm = (norm_weight, norm_bias, running_mean, running_var, training, momentum, eps, negative_slope)
    return batch_norm_act(x, *norm) @ weight.T


def linear_norm_pool(
    x: Tensor,
    weight: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    visibility: Tensor | None,
    num_views: int,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
    negative_slope: float = 0.0,
    before: Norm | None = None,
) -> Tensor:
    if before is not None:
        x = batch_norm_act(x, *before[:-1])
    y = batch_norm_act(
        x @ weight.T,
        norm_weight,
        norm_bias,
        running_mean,
        running_var,
        training,
        momentum,
        eps,
        negative_slope,
    )
    if visibility is None:
        visibility = torch.zeros(x.shape[:2], dtype=torch.int32, device=x.device)
    return visibility_pool(y, visibility, num_views, with_global=True)


def edge_conv(
    x: Tensor,
    neighbors: Tensor,
    weight: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
    negative_slope: float = 0.2,
) -> Tensor:
    center = x[:, :, None].expand(-1, -1, neighbors.shape[2], -1)
    edges = torch.cat([center, gather_rows(x, neighbors) - center], -1)  # (B, N, k, 2C)
    y = batch_norm_act(
        edges @ weight.T,
        norm_weight,
        norm_bias,
        running_mean,
        running_var,
        training,
        momentum,
        eps,
        negative_slope,
    )
    return y.amax(2)


def knn(points: Tensor, k: int, queries: Tensor | None = None) -> Tensor:
    queries = points if queries is None else queries
    return torch.sort(square_distance(queries, points), dim=-1, stable=True).indices[..., :k]


def farthest_point_sample(points: Tensor, count: int) -> Tensor:
    batch = torch.arange(len(points), device=points.device)
    # a point that is nowhere is as one that is chosen already
    distance = torch.where(points.isfinite().all(-1), torch.inf, 0).to(points)
    chosen = torch.zeros(len(points), count, dtype=torch.int64, device=points.device)
    for i in range(1, count):
        last = points[batch, chosen[:, i - 1]]
        distance = torch.minimum(distance, square_distance(last[:, None], points)[:, 0])
        chosen[:, i] = distance.argmax(1)
    return chosen


def ball_query(points: Tensor, centers: Tensor, radius: float, k: int) -> Tensor:
    distance = square_distance(centers, points)
    outside = distance > radius**2
    nearest = distance.argmin(-1, keepdim=True)
    order = torch.sort(outside, dim=-1, stable=True)  # those inside, in index order, come first
    order_index, order_outside = order.indices[..., :k], order.values[..., :k]
    first = torch.where(order_outside[..., :1], nearest, order_index[..., :1])
    found = torch.where(order_outside, first, order_index)
    return torch.cat([found, first.expand(-1, -1, k - found.shape[-1])], -1)


def group(per_point: Tensor, per_center: Tensor | None, index: Tensor) -> Tensor:
    members = gather_rows(per_point, index)
    return members if per_center is None else members - per_center[:, :, None]


def interpolate(queries: Tensor, points: Tensor, feats: Tensor, k: int = 3) -> Tensor:
    distance, index = torch.sort(square_distance(queries, points), dim=-1, stable=True)
    weight = 1 / (distance[..., :k] + 1e-8)
    weight = weight / weight.sum(-1, keepdim=True)
    return (gather_rows(feats, index[..., :k]) * weight[..., None]).sum(2)


def gather_rows(x: Tensor, index: Tensor) -> Tensor:
    """Take x (B, N, C) and index (B, ...) to (B, ..., C)."""
    batch = torch.arange(len(x), device=x.device).view(-1, *[1] * (index.dim() - 1))
    return x[batch, index]


def square_distance(a: Tensor, b: Tensor) -> Tensor:
    """Take (B, A, C) and (B, N, C) to (B, A, N), by direct differences: the expanded square loses digits.

    What is not a number is infinite.
    """
    return (a[:, :, None] - b[:, None]).square().sum(-1).nan_to_num(torch.inf, torch.inf)
