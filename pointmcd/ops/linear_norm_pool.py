"""Linear layer, batch norm, (leaky) ReLU and pooling in one, where only the pooling reads the result."""

import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pointmcd.ops.checks import check_count, check_index, check_rows, computable, wide
from pointmcd.ops.dispatch import kernel
from pointmcd.ops.norm import (
    Group,
    Norm,
    affine_act,
    affine_act_sums,
    channel_sums,
    check_norm,
    positive_norm,
    through_act,
)
from pointmcd.ops.rows import as_rows, flat_rows
from pointmcd.ops.visibility_pool import add_global_view, check_views, masked_max

CHUNK = 2**18


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
    group: Group = None,
) -> Tensor:
    """Return ``visibility_pool`` of ``act(norm(x @ weight.T))`` with the maximum over all, pooled first.

    Norm and leaky ReLU grow with their argument (a negative scale has its sign moved into ``weight``), so
    that pooling the linear layer's output y and normalising what is left is exact. The gradient at y is a few
    entries plus ``slope * y + offset`` in every row: with the mean and the covariance of ``x`` that needs no
    y. Neither y nor its activation is kept.

    Args:
        x: (B, M, I) floating point, M >= 1.
        weight: (O, I).
        norm_weight: (O,) scale of the batch norm; may be negative. Other arguments of the norm as in
            ``batch_norm_act``.
        visibility: (B, M) int32 bit masks, or None with ``num_views = 0``: the global maximum alone.
        num_views: V, at most 31.
        negative_slope: 0 is ReLU, 1 the identity.

    Returns:
        (B, V + 1, O), the maximum over all points last; dtype of ``x``. A view that sees no point gives
        zeros; NaN where one of the points that it sees has a NaN (in training everywhere, as the statistics
        are).

    Raises:
        ValueError: A shape, dtype, device or number of views does not fit, ``negative_slope`` is negative, or
            ``training`` with fewer than two rows.
    """
    check_rows("x", x, ("B", "M", "I"))
    check_rows("weight", weight, ("O", x.shape[2]))
    check_views(num_views, True)
    check_count("the number of points", x.shape[1])
    if visibility is None:
        if num_views:
            raise ValueError(f"visibility is None, but num_views is {num_views}")
        visibility = torch.zeros(x.shape[:2], dtype=torch.int32, device=x.device)
    check_index("visibility", visibility, tuple(x.shape[:2]), torch.int32)
    others = {"x": x, "weight": weight, "visibility": visibility}
    check_norm(len(weight), norm_weight, norm_bias, running_mean, running_var, others)
    options = (running_mean, running_var, training, momentum, eps, negative_slope, group)
    norm, sign = positive_norm(norm_weight, norm_bias, *options)
    signed = (weight * sign[:, None]).to(wide(x.dtype)).contiguous()
    masks = add_global_view(visibility, num_views)
    with torch.autocast(x.device.type, enabled=False):  # types are chosen here, and stay as they are inside
        return _LinearNormPool.apply(
            computable(x).contiguous(), signed, norm.weight, norm_bias, masks, num_views + 1, norm, sign
        ).to(x.dtype)


class _LinearNormPool(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        norm_weight: Tensor,
        norm_bias: Tensor,
        masks: Tensor,
        views: int,
        norm: Norm,
        sign: Tensor,
    ) -> Tensor:
        pooled, argmax, sums = linear_pool(x, weight.to(x.dtype), masks, views, norm.training)
        mean, inv, count = norm.signed_statistics(sums, x.shape[0] * x.shape[1], sign)
        scale, shift = norm.affine(mean, inv, x.dtype)
        out = affine_act(as_rows(pooled), scale, shift, norm.negative_slope).view(pooled.shape)
        lost = argmax < 0
        lost[:, :-1] |= out[:, :-1] <= 0  # in a view hidden points count as zero
        argmax = argmax.masked_fill_(lost, -1)
        ctx.norm, ctx.count = norm, count
        ctx.save_for_backward(x, weight, pooled, argmax, scale, shift, mean, inv)
        return out.masked_fill_(lost, 0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        with torch.autocast(grad.device.type, enabled=False):
            return _LinearNormPool.gradients(ctx, grad)

    @staticmethod
    def gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, pooled, argmax, scale, shift, mean, inv = ctx.saved_tensors
        norm = ctx.norm
        grad, rows = grad.masked_fill(argmax < 0, 0), as_rows(x)
        sums = affine_act_sums(as_rows(grad), as_rows(pooled), scale, shift, norm.negative_slope)
        g = norm.gradients(sums, mean, inv, ctx.count)
        if norm.training:
            mean_x, gram = covariance(x)
            # every row has slope * (y - mean_y) + offset; y = W (x - mean_x) + W mean_x keeps its digits
            slope = g.slope.to(weight.dtype)
            offset = (g.offset + g.slope * (weight.double() @ mean_x.double())).to(weight.dtype)
            sloped = slope[:, None] * weight
            both = weight.T @ sloped
            shared = (offset @ weight - both @ mean_x).to(x.dtype)
            dx = torch.addmm(shared, rows, both.to(x.dtype)).view(x.shape)
            dweight = torch.addmm(torch.outer(offset, len(rows) * mean_x), sloped, gram)
        else:
            dx, dweight = torch.zeros_like(x), torch.zeros_like(weight)
        at_max = through_act(grad, pooled, scale, shift, norm.negative_slope) * scale
        pool_scatter(dx, dweight, at_max.to(x.dtype), argmax, x, weight.to(x.dtype))
        return dx, dweight, g.weight.to(norm.weight.dtype), g.bias.to(norm.bias.dtype), *[None] * 4


def _chunks(x: Tensor, width: int) -> Iterator[slice]:
    """Return the slices of the clouds in x (B, M, I) that are worked on at once: on the CPU as many as have
    results of ``width`` channels that stay in cache.
    """
    step = max(1, len(x) if x.is_cuda else CHUNK // max(x.shape[1] * width, 1))
    return (slice(first, first + step) for first in range(0, len(x), step))


@kernel(
    "linear_pool(Tensor x, Tensor weight, Tensor masks, int views, bool with_sums)"
    " -> (Tensor, Tensor, Tensor)",
    lambda x, weight, masks, views, with_sums: (
        x.new_empty(x.shape[0], views, len(weight)),
        x.new_empty(x.shape[0], views, len(weight), dtype=torch.int32),
        x.new_empty(2, len(weight), dtype=torch.float64),
    ),
)
def linear_pool(
    x: Tensor, weight: Tensor, masks: Tensor, views: int, with_sums: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``visibility_pool(y, masks, views, 0)`` of y = x @ weight.T, and ``channel_sums(y)`` or zeros.

    On the CPU some rows at a time, so that all of y is never held.
    """
    shape = (x.shape[0], views, len(weight))
    pooled, argmax = x.new_empty(shape), x.new_empty(shape, dtype=torch.int32)
    sums = x.new_zeros(2, len(weight), dtype=torch.float64)
    buffer = None
    for part in _chunks(x, len(weight)):
        rows = as_rows(x[part])
        if buffer is None or len(buffer) != len(rows):
            buffer = x.new_empty(len(rows), len(weight))
        y = torch.mm(rows, weight.T, out=buffer)
        pooled[part], argmax[part] = masked_max(y.unflatten(0, (-1, x.shape[1])), masks[part], views, 0)
        if with_sums:
            sums += channel_sums(y)
    return pooled, argmax, sums


@kernel(
    "covariance(Tensor x) -> (Tensor, Tensor)",
    lambda x: (
        x.new_empty(x.shape[2], dtype=wide(x.dtype)),
        x.new_empty(x.shape[2], x.shape[2], dtype=wide(x.dtype)),
    ),
)
def covariance(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (I,) of all rows of x (B, M, I), and the sum (I, I) of the outer products of the rows less it."""
    rows = as_rows(x)
    mean = (channel_sums(rows)[0] / len(rows)).to(wide(x.dtype))
    gram = mean.new_zeros(x.shape[2], x.shape[2])
    for part in _chunks(x, x.shape[2]):
        centered = as_rows(x[part] - mean)
        gram.addmm_(centered.T, centered)
    return mean, gram


@kernel(
    "pool_scatter(Tensor(a!) dx, Tensor(b!) dweight, Tensor grad, Tensor argmax, Tensor x, Tensor weight)"
    " -> ()",
    lambda *_: None,
)
def pool_scatter(
    dx: Tensor, dweight: Tensor, grad: Tensor, argmax: Tensor, x: Tensor, weight: Tensor
) -> None:
    """Add to dx (B, M, I) and dweight (O, I) where y = x @ weight.T has the gradient ``grad`` (B, V, O).

    ``argmax`` (B, V, O) int32 names the point of each of its entries; entries of -1 count nothing.
    """
    (batch, points, _), channels = x.shape, len(weight)
    if grad.numel() == 0:
        return
    grad = grad.masked_fill(argmax < 0, 0)
    rows = as_rows(flat_rows(argmax.clamp_min(0), points))
    bag = functools.partial(torch.nn.functional.embedding_bag, mode="sum")
    by_channel = as_rows(grad).T.contiguous()
    dweight += bag(rows.T.contiguous(), as_rows(x), per_sample_weights=by_channel)
    order = torch.argsort(rows.flatten(), stable=True)
    counts = torch.bincount(rows.flatten(), minlength=batch * points)
    starts = counts.cumsum(0) - counts
    per_point = bag(order % channels, weight, starts, per_sample_weights=grad.flatten()[order])
    dx += per_point.view(x.shape)
