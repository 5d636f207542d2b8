"""A function for each kernel of ``pointmcd.ops`` that CUDA has.

Arguments are those of the torch forms beside each operation. Nothing here waits for the device; an index out
of range stops the kernel by a device-side assertion, as in torch.
"""

import math

import torch
from torch import Tensor

from pointmcd.ops.checks import wide
from pointmcd.ops.cuda.launch import ceil, contiguous, lanes_of, launch, launch_rows, launch_sums, width_of
from pointmcd.ops.cuda.source import THREADS
from pointmcd.ops.rows import flat_rows

_BUCKETED = 8192  # points from which farthest point sampling leaves out what a step cannot reach
_SCRATCH = 1 << 24  # distances that knn holds at once: those of many clouds would leave the cache


def visibility_pool(feats: Tensor, visibility: Tensor, num_views: int, floored: int) -> tuple[Tensor, Tensor]:
    batch, points, channels = feats.shape
    feats, visibility = feats.contiguous(), visibility.contiguous()
    out = feats.new_empty(batch, num_views, channels)
    argmax = torch.empty_like(out, dtype=torch.int32)
    if num_views == 0:
        return out, argmax
    width = min(width_of(channels, feats, out), 4)
    while width > 1 and num_views * width * (1 + max(feats.element_size(), 4) // 4) > 112:
        width //= 2  # the running maxima and where they are must fit into registers
    blocks = batch * ceil(channels, 32 * width)
    slices = 4 if blocks >= 512 else 8
    args = (feats, visibility, out, argmax, points, channels, floored)
    sizes = dict(VEC=width, VIEWS=num_views, SLICES=slices)
    launch("pool", "visibility_pool", feats.dtype, blocks, 32 * slices, *args, **sizes)
    return out, argmax


def visibility_pool_backward(grad: Tensor, argmax: Tensor, num_points: int) -> Tensor:
    batch, views, channels = grad.shape
    if views == 0:
        return grad.new_zeros(batch, num_points, channels)
    grad, argmax = grad.contiguous(), argmax.contiguous()
    out = grad.new_empty(batch, num_points, channels)
    width = width_of(channels, grad, out)
    blocks = batch * ceil(num_points, 128) * ceil(channels, 32 * width)
    args = (grad, argmax, out, num_points, channels)
    sizes = dict(VEC=width, VIEWS=views, SLICES=1)
    launch("pool", "visibility_pool_backward", grad.dtype, blocks, THREADS, *args, **sizes)
    return out


def pool_scatter(
    dx: Tensor, dweight: Tensor, grad: Tensor, argmax: Tensor, x: Tensor, weight: Tensor
) -> None:
    (batch, points, features), (_, views, channels) = x.shape, grad.shape
    if grad.numel() == 0:
        return
    grad, x, weight = contiguous(x.dtype, grad, x, weight)
    lost = argmax < 0
    rows = flat_rows(argmax, points)
    order, starts = _by_destination(rows.masked_fill(lost, batch * points), batch * points)
    dx += _sum_rows(weight, order % channels, grad.flatten()[order], starts).view(x.shape)
    index, value = (t.masked_fill(lost, 0).view(batch * views, channels).T for t in (rows, grad))
    starts = torch.arange(channels + 1, device=x.device) * (batch * views)
    dweight += _sum_rows(x.view(batch * points, features), index, value, starts)


def _by_destination(to: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return entries sorted by the row that they go to, and where each of ``count`` rows begins."""
    narrow = torch.int32 if count < 2**31 else torch.int64
    to, order = torch.sort(to.flatten().to(narrow), stable=True)
    return order, torch.searchsorted(to, torch.arange(count + 1, dtype=narrow, device=to.device))


def _sum_rows(table: Tensor, index: Tensor, value: Tensor | None, starts: Tensor) -> Tensor:
    """Return as row r the sum over e in [starts[r], starts[r + 1]) of value[e] * table[index[e]]."""
    rows, channels = len(starts) - 1, table.shape[1]
    index, out = index.contiguous().flatten(), table.new_empty(rows, channels)
    factor = index if value is None else value.contiguous()  # of the first nothing is read
    args = (table, index, factor, starts, out, rows, len(table), channels)
    launch_rows("rows", "sum_rows", (table, out), *args, rows=rows, WEIGHTED=int(value is not None))
    return out


def channel_sums(x: Tensor) -> Tensor:
    x = x.contiguous()
    return launch_sums("channel_sums", (x,), x, rows=len(x), channels=x.shape[1])


def affine_act(
    x: Tensor, scale: Tensor, shift: Tensor, negative_slope: float, ceiling: float | None = None
) -> Tensor:
    x = x.contiguous()
    y = torch.empty_like(x)
    scale, shift = contiguous(wide(x.dtype), scale, shift)
    args = (x, scale, shift, y, *_act(negative_slope, ceiling), *x.shape)
    launch_rows("norm", "affine_act", (x, y, scale, shift), *args, rows=len(x))
    return y


def affine_act_sums(
    grad: Tensor,
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    negative_slope: float,
    ceiling: float | None = None,
) -> Tensor:
    grad, x = contiguous(x.dtype, grad, x)
    scale, shift = contiguous(wide(x.dtype), scale, shift)
    tensors = (grad, x, scale, shift)
    sizes = dict(rows=len(x), channels=x.shape[1])
    return launch_sums("affine_act_sums", tensors, *tensors, params=_act(negative_slope, ceiling), **sizes)


def affine_act_backward(
    grad: Tensor,
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    negative_slope: float,
    slope: Tensor,
    offset: Tensor,
    ceiling: float | None = None,
) -> Tensor:
    grad, x = contiguous(x.dtype, grad, x)
    dx = torch.empty_like(x)
    tensors = (grad, x, *contiguous(wide(x.dtype), scale, shift, slope, offset), dx)
    args = (*tensors, *_act(negative_slope, ceiling), *x.shape)
    launch_rows("norm", "affine_act_backward", tensors, *args, rows=len(x))
    return dx


def _act(negative_slope: float, ceiling: float | None) -> tuple[float, float]:
    """Return what kernels are told of an activation: nothing reaches a NaN."""
    return float(negative_slope), math.nan if ceiling is None else float(ceiling)


def edge_max(pq: Tensor, neighbors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    (batch, points, k), channels = neighbors.shape, pq.shape[2] // 2
    pq, neighbors = pq.contiguous(), neighbors.contiguous()
    extremum = pq.new_empty(batch, points, channels)
    argmax = torch.empty_like(extremum, dtype=torch.int32)
    width = min(width_of(channels, pq, extremum), 4)
    lanes = lanes_of(channels, width)
    step = 4 * THREADS // lanes
    grid = batch * ceil(points, step)
    partial = pq.new_empty(grid, 2, channels, dtype=torch.float64)
    args = (pq, neighbors, extremum, argmax, partial, points, k, channels, step, lanes)
    launch("edge", "edge_max", pq.dtype, grid, THREADS, *args, VEC=width)
    return extremum, argmax, partial.sum(0)


def edge_max_backward(
    grad: Tensor,
    pq: Tensor,
    neighbors: Tensor,
    extremum: Tensor,
    argmax: Tensor,
    affine: Tensor,
    negative_slope: float,
) -> Tensor:
    (batch, points, k), channels = neighbors.shape, pq.shape[2] // 2
    grad, pq, extremum = contiguous(pq.dtype, grad, pq, extremum)
    (affine,) = contiguous(wide(pq.dtype), affine)
    neighbors, argmax, dpq = neighbors.contiguous(), argmax.contiguous(), torch.empty_like(pq)
    rows = batch * points
    order, starts = _by_destination(flat_rows(neighbors, points), rows)
    users = order // k
    read, slope = (grad, pq, extremum, affine, dpq), float(negative_slope)
    centers = (grad, pq, neighbors, extremum, affine, dpq, slope, rows, points, k, channels)
    launch_rows("edge", "edge_max_centers", read, *centers, rows=rows)
    others = (grad, pq, users, starts, extremum, argmax, affine, dpq, slope, rows, points, channels)
    launch_rows("edge", "edge_max_neighbors", read, *others, rows=rows)
    return dpq


def knn(points: Tensor, queries: Tensor, k: int) -> Tensor:
    dtype = wide(points.dtype)
    points, queries = points.to(dtype), queries.to(dtype)
    channels, size, count = points.shape[2], points.shape[1], queries.shape[1]
    expanded = channels > 8  # up to so many, differences cost no more than products
    if expanded:  # near zero the expanded square loses the fewest digits
        center = points.mean(1, keepdim=True)
        center = center.where(center.isfinite(), 0)
        points, queries = points - center, queries - center
    point_norm, query_norm = points.square().sum(-1), queries.square().sum(-1)
    rounding = max(16, channels // 4) * torch.finfo(dtype).eps if expanded else 0.0
    slack = (point_norm.amax(1, keepdim=True) + query_norm) * rounding
    index = queries.new_empty(*queries.shape[:2], k, dtype=torch.int64)
    for_queries = max(1, min(count, _SCRATCH // size))
    clouds = max(1, _SCRATCH // (size * for_queries))
    for b in range(0, len(points), clouds):
        cloud, norm = (t[b : b + clouds].contiguous() for t in (points, point_norm))
        for q in range(0, count, for_queries):
            part = (slice(b, b + clouds), slice(q, q + for_queries))
            query, norm_of_query, slack_of_query = (
                t[part].contiguous() for t in (queries, query_norm, slack)
            )
            index[part] = _knn(cloud, query, norm, norm_of_query, slack_of_query, k, expanded)
    return index


def _knn(
    points: Tensor,
    queries: Tensor,
    point_norm: Tensor,
    query_norm: Tensor,
    slack: Tensor,
    k: int,
    expanded: bool,
) -> Tensor:
    (batch, size, channels), count = points.shape, queries.shape[1]
    rough = points.new_empty(batch, count, size)
    index = points.new_empty(batch, count, k, dtype=torch.int64)
    sizes = dict(VEC=4, EXPANDED=int(expanded), BLOCK=128)
    pairs = (points, queries, point_norm, query_norm, rough, size, count, channels)
    grid = batch * ceil(count, 64) * ceil(size, 64)
    launch("knn", "distances", points.dtype, grid, THREADS, *pairs, **sizes)
    rows = (points, queries, rough, slack, index, size, count, channels, k)
    launch("knn", "nearest", points.dtype, batch * count, 128, *rows, **sizes)
    return index


def nearest_weights(points: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    points, queries = contiguous(wide(queries.dtype), points, queries)
    (batch, size, _), count = points.shape, queries.shape[1]
    weight = queries.new_empty(batch, count, k)
    index = torch.empty_like(weight, dtype=torch.int64)
    args = (points, queries, index, weight, size, count)
    grid = batch * ceil(count, 128)
    launch("sample", "nearest_weights", points.dtype, grid, 128, *args, BLOCK=128, EACH=1, K=k)
    return index, weight


def farthest_point_sample(points: Tensor, count: int) -> Tensor:
    (points,) = contiguous(wide(points.dtype), points)
    batch, size, _ = points.shape
    chosen = points.new_empty(batch, count, dtype=torch.int64)
    if size > _BUCKETED:
        order = _along_curve(points)
        ordered = points.gather(1, order[..., None].expand(-1, -1, 3))
        buckets = ceil(size, 256)
        distance, box = torch.empty_like(order, dtype=points.dtype), points.new_empty(batch, buckets, 6)
        farthest, reached = order.new_empty(batch, buckets, 3), order.new_empty(batch, buckets)
        args = (ordered, order, distance, box, farthest, reached, chosen, size, count)
        sizes, name = dict(BLOCK=512, EACH=1, K=1), "farthest_point_sample_bucketed"
        launch("sample", name, points.dtype, batch, 512, *args, **sizes)
        return chosen
    block = 128 if size <= 512 else 256 if size <= 2048 else 1024
    sizes = dict(BLOCK=block, EACH=ceil(size, block), K=1)
    name = "farthest_point_sample"
    launch("sample", name, points.dtype, batch, block, points, chosen, size, count, **sizes)
    return chosen


def _along_curve(points: Tensor) -> Tensor:
    """Order (B, N) of the points along a Morton curve of 1024 cells an axis."""
    low, high = points.aminmax(dim=1, keepdim=True)
    cell = ((points - low) / (high - low).amax(-1, keepdim=True).clamp_min(1e-30) * 1023).nan_to_num().long()
    code = torch.zeros_like(cell[..., 0])
    for bit in range(10):
        for axis in range(3):
            code |= (cell[..., axis] >> bit & 1) << 3 * bit + axis
    return code.argsort(dim=1)


def ball_query(points: Tensor, centers: Tensor, radius: float, k: int) -> Tensor:
    points, centers = contiguous(wide(points.dtype), points, centers)
    (batch, size, _), count = points.shape, centers.shape[1]
    index = centers.new_empty(batch, count, k, dtype=torch.int64)
    args = (points, centers, index, float(radius), size, count, k)
    grid = batch * ceil(count, 128)
    launch("sample", "ball_query", points.dtype, grid, 128, *args, BLOCK=128, EACH=1, K=1)
    return index


def group(per_point: Tensor, per_center: Tensor, index: Tensor) -> Tensor:
    (batch, centers, k), (_, points, channels) = index.shape, per_point.shape
    per_point, per_center = contiguous(per_point.dtype, per_point, per_center)
    index, out = index.contiguous(), per_point.new_empty(batch, centers, k, channels)
    rows = index.numel()
    args = (per_point, per_center, index, out, rows, points, centers, k, channels)
    launch_rows("rows", "group", (per_point, per_center, out), *args, rows=rows, WEIGHTED=0)
    return out


def group_backward(grad: Tensor, index: Tensor, num_points: int) -> tuple[Tensor, Tensor]:
    batch, _, _, channels = grad.shape
    order, starts = _by_destination(flat_rows(index, num_points), batch * num_points)
    dpoint = _sum_rows(grad.contiguous().view(-1, channels), order, None, starts)
    return dpoint.view(batch, num_points, channels), -grad.sum(2)


def weighted_sum(feats: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    (batch, queries, k), (_, points, channels) = index.shape, feats.shape
    feats, weight = contiguous(feats.dtype, feats, weight)
    rows = flat_rows(index, points)
    starts = torch.arange(batch * queries + 1, device=index.device) * k
    out = _sum_rows(feats.view(batch * points, channels), rows, weight, starts)
    return out.view(batch, queries, channels)


def weighted_sum_backward(grad: Tensor, index: Tensor, weight: Tensor, num_points: int) -> Tensor:
    (batch, queries, k), channels = index.shape, grad.shape[2]
    grad, weight = contiguous(grad.dtype, grad, weight)
    order, starts = _by_destination(flat_rows(index, num_points), batch * num_points)
    table = grad.view(batch * queries, channels)
    out = _sum_rows(table, order // k, weight.flatten()[order], starts)
    return out.view(batch, num_points, channels)
