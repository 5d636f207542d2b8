"""Interpolation of features between points by inverse distance."""

from typing import Any

import torch
from torch import Tensor

from pointmcd.ops.checks import check_count, check_one_device, check_one_dtype, check_rows, computable
from pointmcd.ops.dispatch import kernel
from pointmcd.ops.knn import least, square_distances
from pointmcd.ops.rows import as_rows, flat_rows


def interpolate(queries: Tensor, points: Tensor, feats: Tensor, k: int = 3) -> Tensor:
    """Interpolate the features of the k nearest points, by ``1 / (d ** 2 + 1e-8)`` (PointNet++, section 3.4).

    The gradient goes to ``feats`` alone. A distance that is not a number, as a NaN or an infinity among the
    coordinates makes it, counts as infinite: such points have no weight, and a query that is infinitely far
    from all gets NaN.

    Args:
        queries: (B, Q, 3) floating point; Q may be 0.
        points: (B, M, 3) of the same dtype, M >= 1; where M < k all of them count.
        feats: (B, M, C) floating point of any dtype.
        k: Neighbours, at least 1.

    Returns:
        (B, Q, C), dtype of ``feats``. Equally near points count as in ``knn``.

    Raises:
        ValueError: A shape, dtype, device or number does not fit.
    """
    check_rows("queries", queries, ("B", "Q", 3))
    check_rows("points", points, (queries.shape[0], "M", 3))
    check_rows("feats", feats, (*points.shape[:2], "C"))
    check_one_dtype(queries=queries, points=points)
    check_one_device(queries=queries, points=points, feats=feats)
    check_count("k", k)
    check_count("the number of points", points.shape[1])
    k = min(k, points.shape[1])
    values = computable(feats)
    index, weight = _nearest_weights(computable(points.detach()), computable(queries.detach()), k)
    return _weighted_sum(values, index, weight.to(values.dtype)).to(feats.dtype)


def _fake_nearest(points: Tensor, queries: Tensor, k: int) -> tuple[Tensor, ...]:
    shape = (*queries.shape[:2], k)
    return queries.new_empty(shape, dtype=torch.int64), queries.new_empty(shape)


@kernel("nearest_weights(Tensor points, Tensor queries, int k) -> (Tensor, Tensor)", _fake_nearest)
def _nearest_weights(points: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return indices and normalised inverse-distance weights (B, Q, k) of the nearest points."""
    shape = (*queries.shape[:2], k)
    index, nearest = queries.new_empty(shape, dtype=torch.int64), queries.new_empty(shape)
    # by differences: the expanded square is wrong in the third digit where a query is one of the points
    for part, distance in square_distances(queries, points):
        nearest[part], index[part] = least(distance, k)
    nearest.masked_fill_(nearest == torch.finfo(nearest.dtype).max, torch.inf)
    weight = 1 / (nearest + 1e-8)
    return index, weight / weight.sum(-1, keepdim=True)


@kernel(
    "weighted_sum(Tensor feats, Tensor index, Tensor weight) -> Tensor",
    lambda feats, index, weight: feats.new_empty(*index.shape[:2], feats.shape[2]),
)
def _weighted_sum(feats: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    (batch, queries, k), channels = index.shape, feats.shape[2]
    if batch * queries * channels == 0:
        return feats.new_zeros(batch, queries, channels)
    rows = flat_rows(index, feats.shape[1]).view(-1, k)
    summed = torch.nn.functional.embedding_bag(
        rows, as_rows(feats), mode="sum", per_sample_weights=as_rows(weight)
    )
    return summed.view(batch, queries, channels)


@kernel(
    "weighted_sum_backward(Tensor grad, Tensor index, Tensor weight, int num_points) -> Tensor",
    lambda grad, index, weight, num_points: grad.new_empty(grad.shape[0], num_points, grad.shape[2]),
)
def _weighted_sum_backward(grad: Tensor, index: Tensor, weight: Tensor, num_points: int) -> Tensor:
    batch, _, channels = grad.shape
    out = grad.new_zeros(batch * num_points, channels)
    for i in range(index.shape[2]):
        rows = flat_rows(index[..., i], num_points).flatten()
        out.index_add_(0, rows, as_rows(grad * weight[..., i : i + 1]))
    return out.view(batch, num_points, channels)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    feats, index, weight = inputs
    ctx.save_for_backward(index, weight)
    ctx.num_points = feats.shape[1]


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return _weighted_sum_backward(grad, *ctx.saved_tensors, ctx.num_points), None, None


torch.library.register_autograd("pointmcd::weighted_sum", _backward, setup_context=_setup)
