"""Batch norm and (leaky) ReLU, or ReLU6, in one, for rows (..., C)."""

from typing import Any

import torch
from torch import Tensor

from pointmcd.ops.checks import check_rows, computable
from pointmcd.ops.norm import (
    Group,
    Norm,
    affine_act,
    affine_act_backward,
    affine_act_sums,
    channel_sums,
    check_norm,
)
from pointmcd.ops.rows import as_rows


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
    group: Group = None,
    ceiling: float | None = None,
) -> Tensor:
    """Apply batch norm over all leading dimensions (Ioffe and Szegedy 2015, algorithm 1), then leaky ReLU.

    ``torch.nn.functional.batch_norm`` sums rows in plain float32 on the CPU and loses three digits on long
    inputs; here statistics are summed in double. Only ``x`` is kept for the gradient. In bfloat16 rows are
    read and written as they are, and rounded once; what is done to them is in float32.

    Args:
        x: (..., C) floating point.
        weight: (C,) scale; may be negative.
        bias: (C,) shift.
        running_mean: (C,) used when not ``training``; else updated in place.
        running_var: (C,) the same; its update takes the unbiased variance.
        training: Normalise by the statistics of ``x``.
        momentum: Weight of the new statistics in the running ones.
        eps: Added to the variance.
        negative_slope: 0 is ReLU, 1 the identity.
        group: Process group over which statistics are summed, gradients included; None: this process alone.
        ceiling: The most that comes out, as 6 is of ReLU6; where it is reached the gradient is 0.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        ValueError: A shape, dtype or device does not fit, or ``training`` with fewer than two rows.
    """
    check_rows("x", x, ("...",) * (x.dim() - 1) + ("C",))
    check_norm(x.shape[-1], weight, bias, running_mean, running_var, {"x": x})
    norm = Norm(weight, bias, running_mean, running_var, training, momentum, eps, negative_slope, group)
    rows = as_rows(x if x.dtype == torch.bfloat16 else computable(x))
    return _BatchNormAct.apply(rows, weight, bias, norm, ceiling).view(x.shape).to(x.dtype)


class _BatchNormAct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, norm: Norm, ceiling: float | None
    ) -> Tensor:
        sums = channel_sums(x) if norm.training else None
        mean, inv, count = norm.statistics(sums, x.shape[0])
        scale, shift = norm.affine(mean, inv, x.dtype)
        ctx.norm, ctx.count, ctx.ceiling = norm, count, ceiling
        ctx.save_for_backward(x, scale, shift, mean, inv)
        return affine_act(x, scale, shift, norm.negative_slope, ceiling)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, shift, mean, inv = ctx.saved_tensors
        norm = ctx.norm
        sums = affine_act_sums(grad, x, scale, shift, norm.negative_slope, ctx.ceiling)
        g = norm.gradients(sums, mean, inv, ctx.count)
        slope, offset = g.slope.to(scale.dtype), g.offset.to(scale.dtype)
        dx = affine_act_backward(grad, x, scale, shift, norm.negative_slope, slope, offset, ctx.ceiling)
        return dx, g.weight.to(norm.weight.dtype), g.bias.to(norm.bias.dtype), None, None
