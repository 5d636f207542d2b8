"""Batch norm of images and a clamp (ReLU, ReLU6) in one, in bfloat16 too, for rows (..., C)."""

from typing import Any

import torch
from torch import Tensor

from pointmcd.ops.checks import check_rows, wide
from pointmcd.ops.dispatch import kernel
from pointmcd.ops.norm import Norm, channel_sums, check_norm
from pointmcd.ops.rows import as_rows, chunks


def batch_norm_clamp(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
    low: float = -torch.inf,
    high: float = torch.inf,
) -> Tensor:
    """Apply batch norm over all leading dimensions, then clamp; only ``x`` is kept for the gradient.

    It is for the large rows of image networks. In bfloat16 rows are read and written as they are; what is
    done to them, and their statistics, is in float32 and double, so that the result is rounded once.

    Args:
        x: (..., C) floating point; float16 is not one of them.
        weight: (C,) scale; the others are likewise as in ``batch_norm_act``.
        low: 0 is that of ReLU and ReLU6.
        high: 6 is that of ReLU6. Where a bound is reached, the gradient is 0.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        ValueError: A shape, dtype or device does not fit, ``low`` is not below ``high``, or ``training`` with
            fewer than two rows.
    """
    check_rows("x", x, ("...",) * (x.dim() - 1) + ("C",))
    if x.dtype == torch.float16:
        raise ValueError("x must be of bfloat16, float32 or float64, got torch.float16")
    if not low < high:
        raise ValueError(f"low must be below high, got {low} and {high}")
    check_norm(x.shape[-1], weight, bias, running_mean, running_var, {"x": x})
    norm = Norm(weight, bias, running_mean, running_var, training, momentum, eps, 1.0)
    return _BatchNormClamp.apply(as_rows(x), weight, bias, norm, low, high).view(x.shape)


class _BatchNormClamp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, norm: Norm, low: float, high: float
    ) -> Tensor:
        sums = channel_sums(x) if norm.training else None
        mean, inv, count = norm.statistics(sums, x.shape[0])
        scale, shift = norm.affine(mean, inv, x.dtype)
        ctx.norm, ctx.count, ctx.bounds = norm, count, (low, high)
        ctx.save_for_backward(x, scale, shift, mean, inv)
        return affine_clamp(x, scale, shift, low, high)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, shift, mean, inv = ctx.saved_tensors
        sums = affine_clamp_sums(grad, x, scale, shift, *ctx.bounds)
        g = ctx.norm.gradients(sums, mean, inv, ctx.count)
        slope, offset = g.slope.to(scale.dtype), g.offset.to(scale.dtype)
        dx = affine_clamp_backward(grad, x, scale, shift, *ctx.bounds, slope, offset)
        return dx, g.weight.to(ctx.norm.weight.dtype), g.bias.to(ctx.norm.bias.dtype), None, None, None


@kernel(
    "affine_clamp(Tensor x, Tensor scale, Tensor shift, float low, float high) -> Tensor",
    lambda x, *_: torch.empty_like(x, memory_format=torch.contiguous_format),
)
def affine_clamp(x: Tensor, scale: Tensor, shift: Tensor, low: float, high: float) -> Tensor:
    """Return scale * x + shift between two bounds, for rows x (R, C)."""
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    for part in chunks(x):
        y[part] = torch.addcmul(shift, x[part].to(wide(x.dtype)), scale).clamp_(low, high)
    return y


def _through(grad: Tensor, x: Tensor, scale: Tensor, shift: Tensor, low: float, high: float) -> Tensor:
    """Return the gradient before the clamp, of rows that are wide already."""
    before = torch.addcmul(shift, x, scale)
    return grad.where((before > low) & (before < high), 0)


@kernel(
    "affine_clamp_sums(Tensor grad, Tensor x, Tensor scale, Tensor shift, float low, float high) -> Tensor",
    lambda grad, x, *_: x.new_empty(2, x.shape[1], dtype=torch.float64),
)
def affine_clamp_sums(
    grad: Tensor, x: Tensor, scale: Tensor, shift: Tensor, low: float, high: float
) -> Tensor:
    """Return sums over the rows of g and g * x, (2, C) float64; g: the gradient before the clamp."""
    sums = x.new_zeros(2, x.shape[1], dtype=torch.float64)
    for part in chunks(x):
        rows = x[part].to(wide(x.dtype))
        g = _through(grad[part].to(rows.dtype), rows, scale, shift, low, high).double()
        sums[0] += g.sum(0)
        sums[1] += (g * rows).sum(0)
    return sums


@kernel(
    "affine_clamp_backward(Tensor grad, Tensor x, Tensor scale, Tensor shift, float low, float high, "
    "Tensor slope, Tensor offset) -> Tensor",
    lambda grad, x, *_: torch.empty_like(x, memory_format=torch.contiguous_format),
)
def affine_clamp_backward(
    grad: Tensor,
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    low: float,
    high: float,
    slope: Tensor,
    offset: Tensor,
) -> Tensor:
    """Return scale * g + slope * x + offset, with g as in ``affine_clamp_sums``."""
    dx = torch.empty_like(x, memory_format=torch.contiguous_format)
    for part in chunks(x):
        rows = x[part].to(wide(x.dtype))
        g = _through(grad[part].to(rows.dtype), rows, scale, shift, low, high)
        dx[part] = torch.addcmul(offset, rows, slope).addcmul_(g, scale)
    return dx
