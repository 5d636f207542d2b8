"""Linear layer, batch norm, (leaky) ReLU and pooling in one, where only the pooling reads the result."""

import functools
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
from pointmcd.ops.norm_act_linear import finish_
from pointmcd.ops.products import product, rounded_inputs, rounds_inputs, without_autocast
from pointmcd.ops.rows import as_rows, flat_rows, parts
from pointmcd.ops.visibility_pool import add_global_view, check_views, masked_max

SYMMETRIC_FROM = 256  # channels


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
    before: Norm | None = None,
) -> Tensor:
    """Return ``visibility_pool`` of ``act(norm(x @ weight.T))`` with the maximum over all, pooled first.

    Norm and leaky ReLU grow with their argument (a negative scale has its sign moved into ``weight``), so
    that pooling the linear layer's output y and normalising what is left is exact. The gradient at y is a few
    entries plus ``slope * y + offset`` in every row: with the mean and the covariance of ``x`` that needs no
    y. Neither y nor its activation is kept; with ``before`` nor is the linear layer's input.

    Args:
        x: (B, M, I) floating point, M >= 1.
        weight: (O, I).
        norm_weight: (O,) scale of the batch norm; may be negative. Other arguments of the norm as in
            ``batch_norm_act``.
        visibility: (B, M) int32 bit masks, or None with ``num_views = 0``: the global maximum alone.
        num_views: V, at most 31.
        negative_slope: 0 is ReLU, 1 the identity.
        before: Batch norm and (leaky) ReLU that ``x`` goes through first, as in ``norm_act_linear``.

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
    if before is not None:
        first = before.weight, before.bias
        check_norm(x.shape[2], *first, before.running_mean, before.running_var, {"x": x})
    masks = add_global_view(visibility, num_views)
    rounds = rounds_inputs(x)
    with without_autocast(x):  # types are chosen here, and stay as they are inside
        signed = (weight * sign[:, None]).to(wide(x.dtype)).contiguous()
        parameters = (signed, norm.weight, norm_bias, before and before.weight, before and before.bias)
        rest = (masks, num_views + 1, norm, sign, before, rounds)
        return _LinearNormPool.apply(computable(x).contiguous(), *parameters, *rest).to(x.dtype)


class _LinearNormPool(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        norm_weight: Tensor,
        norm_bias: Tensor,
        before_weight: Tensor | None,
        before_bias: Tensor | None,
        masks: Tensor,
        views: int,
        norm: Norm,
        sign: Tensor,
        before: Norm | None,
        rounds: bool,
    ) -> Tensor:
        rows = as_rows(x)
        first: tuple[Tensor, ...] = ()
        if before is not None:
            of_x = channel_sums(rows) if before.training else None
            mean, inv, ctx.before_count = before.statistics(of_x, rows.shape[0])
            first = *before.affine(mean, inv, x.dtype), mean, inv
        ctx.act = (*first[:2], before.negative_slope) if before is not None else (None, None, 1.0)
        pooled, argmax, sums = linear_pool(
            x, weight.to(x.dtype), masks, views, norm.training, *ctx.act, rounds
        )
        mean, inv, count = norm.signed_statistics(sums, rows.shape[0], sign)
        scale, shift = norm.affine(mean, inv, x.dtype)
        out = affine_act(as_rows(pooled), scale, shift, norm.negative_slope).view(pooled.shape)
        of_a_view = torch.arange(views, device=x.device)[:, None] < views - 1  # the last one is of all points
        lost = (argmax < 0) | (of_a_view & (out <= 0))  # in a view hidden points count as zero
        argmax = argmax.masked_fill_(lost, -1)
        ctx.norm, ctx.count, ctx.before, ctx.rounds = norm, count, before, rounds
        ctx.save_for_backward(x, weight, pooled, argmax, scale, shift, mean, inv, *first)
        return out.masked_fill_(lost, 0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        with without_autocast(grad):
            return _LinearNormPool.gradients(ctx, grad)

    @staticmethod
    def gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, pooled, argmax, scale, shift, mean, inv, *first = ctx.saved_tensors
        norm, before = ctx.norm, ctx.before
        grad = grad.masked_fill(argmax < 0, 0)
        sums = affine_act_sums(as_rows(grad), as_rows(pooled), scale, shift, norm.negative_slope)
        g = norm.gradients(sums, mean, inv, ctx.count)
        at_max = through_act(grad, pooled, scale, shift, norm.negative_slope) * scale
        dense = (g.slope, g.offset) if norm.training else (None, None)
        act = (*first[:2], before.negative_slope) if before is not None else (None, None, 1.0)
        dx, dweight, sums = linear_pool_backward(
            at_max.to(x.dtype), argmax, x, weight, *dense, *act, ctx.rounds
        )
        dparameters = [g.weight.to(norm.weight.dtype), g.bias.to(norm.bias.dtype), None, None]
        if before is not None:
            scale, shift, mean, inv = first
            g = before.gradients(sums, mean, inv, ctx.before_count)
            finish = (scale, shift, before.negative_slope, g.slope.to(scale), g.offset.to(scale))
            finish_(as_rows(dx), as_rows(x), *finish)
            dparameters[2:] = g.weight.to(before.weight.dtype), g.bias.to(before.bias.dtype)
        return dx, dweight, *dparameters, *[None] * 6


def _activated(x: Tensor, scale: Tensor | None, shift: Tensor | None, negative_slope: float) -> Tensor:
    """Return rows of x (B, M, I), with their norm and activation where these are given."""
    if scale is None or shift is None:
        return as_rows(x)
    return affine_act(as_rows(x), scale, shift, negative_slope)


@kernel(
    "linear_pool(Tensor x, Tensor weight, Tensor masks, int views, bool with_sums, "
    "Tensor? scale=None, Tensor? shift=None, float negative_slope=1.0, bool rounds=False)"
    " -> (Tensor, Tensor, Tensor)",
    lambda x, weight, masks, views, *_: (
        x.new_empty(x.shape[0], views, len(weight)),
        x.new_empty(x.shape[0], views, len(weight), dtype=torch.int32),
        x.new_empty(2, len(weight), dtype=torch.float64),
    ),
)
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
    """Return ``visibility_pool(y, masks, views, 0)`` of y = a @ weight.T, and ``channel_sums(y)`` or zeros.

    a is x, or ``affine_act(x, scale, shift, negative_slope)`` where a scale is given. On the CPU some clouds
    at a time, so that all of y is never held.
    """
    shape = (x.shape[0], views, len(weight))
    pooled, argmax = x.new_empty(shape), x.new_empty(shape, dtype=torch.int32)
    sums = x.new_zeros(2, len(weight), dtype=torch.float64)
    buffer = None
    for part in parts(x, len(weight)):
        rows = _activated(x[part], scale, shift, negative_slope)
        if buffer is None or len(buffer) != len(rows):
            buffer = x.new_empty(len(rows), len(weight))
        with rounded_inputs(rounds):
            y = torch.mm(rows, weight.T, out=buffer)
        pooled[part], argmax[part] = masked_max(y.unflatten(0, (-1, x.shape[1])), masks[part], views, 0)
        if with_sums:
            sums += channel_sums(y)
    return pooled, argmax, sums


@kernel(
    "linear_pool_backward(Tensor grad, Tensor argmax, Tensor x, Tensor weight, Tensor? slope, Tensor? offset,"
    " Tensor? scale, Tensor? shift, float negative_slope, bool rounds) -> (Tensor, Tensor, Tensor)",
    lambda grad, argmax, x, weight, *_: (
        torch.empty_like(x, memory_format=torch.contiguous_format),
        torch.empty_like(weight, memory_format=torch.contiguous_format),
        x.new_empty(2, x.shape[2], dtype=torch.float64),
    ),
)
def linear_pool_backward(
    grad: Tensor,
    argmax: Tensor,
    x: Tensor,
    weight: Tensor,
    slope: Tensor | None,
    offset: Tensor | None,
    scale: Tensor | None,
    shift: Tensor | None,
    negative_slope: float,
    rounds: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of ``linear_pool`` at a (B, M, I) and at the weight (O, I).

    That at y is ``grad`` (B, V, O) at the points ``argmax`` and, where a slope (O,) float64 is given,
    ``slope * y + offset`` everywhere. With a scale, also the ``affine_act_sums`` of the gradient at a and x.
    """
    dx, dweight = torch.empty_like(x, memory_format=torch.contiguous_format), torch.zeros_like(weight)
    like_x, features = weight.to(x.dtype), x.shape[2]
    sums = x.new_zeros(2, features, dtype=torch.float64)
    center = weight.new_zeros(features)  # near the mean of a, so that products keep their digits
    total, gram = sums[0].clone(), weight.new_zeros(features, features)
    half = features // 2 if features >= SYMMETRIC_FROM else features  # gram is symmetric: three quarters do
    if slope is not None and offset is not None:
        sloped = slope.to(weight.dtype)[:, None] * weight
        both, shared = product(weight.T, sloped, rounds).to(x.dtype), (offset @ weight.double()).to(x.dtype)
    for part in parts(x, len(weight)):
        a = _activated(x[part], scale, shift, negative_slope)
        da = as_rows(dx[part])
        if slope is None:
            da.zero_()
        else:
            if part.start == 0:
                center = (channel_sums(a)[0] / len(a)).to(weight.dtype)
            centered = a - center
            total += channel_sums(centered)[0]
            with rounded_inputs(rounds):
                gram[:half].addmm_(centered[:, :half].T, centered)
                if half < features:
                    gram[half:, half:].addmm_(centered[:, half:].T, centered[:, half:])
                torch.mm(a, both, out=da)
            da.add_(shared)
        pool_scatter(dx[part], dweight, grad[part], argmax[part], a.view(dx[part].shape), like_x)
        if scale is not None and shift is not None:
            sums += affine_act_sums(da, as_rows(x[part]), scale, shift, negative_slope)
    if slope is not None and offset is not None:
        # sum over the rows of (slope * y + offset) a^T, y = W c + W e and a = c + e for the center c
        at_center = offset + slope * (weight.double() @ center.double())
        rows = x.shape[0] * x.shape[1]
        dweight += torch.outer(at_center, rows * center.double() + total).to(weight.dtype)
        gram[half:, :half] = gram[:half, half:].T
        with rounded_inputs(rounds):
            dweight.addmm_(sloped, gram.addr_(total.to(weight.dtype), center))
    return dx, dweight, sums


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
