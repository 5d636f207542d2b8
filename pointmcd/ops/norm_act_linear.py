"""Batch norm, (leaky) ReLU and the linear layer after them in one, of which only the first input is kept."""

from typing import Any

import torch
from torch import Tensor

from pointmcd.ops.checks import check_rows, computable, wide
from pointmcd.ops.dispatch import kernel
from pointmcd.ops.norm import (
    Group,
    Norm,
    affine_act,
    affine_act_backward,
    affine_act_sums,
    channel_sums,
    check_norm,
)
from pointmcd.ops.products import rounded_inputs, rounds_inputs, without_autocast
from pointmcd.ops.rows import as_rows, chunks, parts


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
    group: Group = None,
) -> Tensor:
    """Return ``act(norm(x)) @ weight.T``, from the middle of one layer of a shared MLP to that of the next.

    The activation is computed some rows at a time and again in the backward pass, so that of a layer on many
    rows, as the edges of a graph are, one tensor is kept and not two.

    Args:
        x: (..., I) floating point, the output of a linear layer.
        weight: (O, I).
        norm_weight: (I,) scale of the batch norm; may be negative. Other arguments as in ``batch_norm_act``.

    Returns:
        (..., O), dtype of ``x``.

    Raises:
        ValueError: A shape, dtype or device does not fit, or ``training`` with fewer than two rows.
    """
    check_rows("x", x, ("...",) * (x.dim() - 1) + ("I",))
    check_rows("weight", weight, ("O", x.shape[-1]))
    others = {"x": x, "weight": weight}
    check_norm(x.shape[-1], norm_weight, norm_bias, running_mean, running_var, others)
    norm = Norm(
        norm_weight, norm_bias, running_mean, running_var, training, momentum, eps, negative_slope, group
    )
    rounds = rounds_inputs(x)
    with without_autocast(x):
        rows = as_rows(computable(x)).contiguous()
        y = _NormActLinear.apply(rows, weight.to(wide(x.dtype)), norm_weight, norm_bias, norm, rounds)
        return y.view(*x.shape[:-1], len(weight)).to(x.dtype)


class _NormActLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, norm_weight: Tensor, norm_bias: Tensor, norm: Norm, rounds: bool
    ) -> Tensor:
        mean, inv, count = norm.statistics(channel_sums(x) if norm.training else None, x.shape[0])
        scale, shift = norm.affine(mean, inv, x.dtype)
        ctx.norm, ctx.count, ctx.rounds = norm, count, rounds
        ctx.save_for_backward(x, weight, scale, shift, mean, inv)
        return act_linear(x, scale, shift, norm.negative_slope, weight, rounds)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale, shift, mean, inv = ctx.saved_tensors
        norm = ctx.norm
        with without_autocast(grad):
            args = (grad, x, scale, shift, norm.negative_slope, weight, ctx.rounds)
            da, dweight, sums = act_linear_backward(*args)
            g = norm.gradients(sums, mean, inv, ctx.count)
            finish_(da, x, scale, shift, norm.negative_slope, g.slope.to(scale), g.offset.to(scale))
            return da, dweight, g.weight.to(norm.weight.dtype), g.bias.to(norm.bias.dtype), None, None


@kernel(
    "act_linear(Tensor x, Tensor scale, Tensor shift, float negative_slope, Tensor weight, bool rounds)"
    " -> Tensor",
    lambda x, scale, shift, negative_slope, weight, rounds: x.new_empty(x.shape[0], weight.shape[0]),
)
def act_linear(
    x: Tensor, scale: Tensor, shift: Tensor, negative_slope: float, weight: Tensor, rounds: bool
) -> Tensor:
    """Return ``affine_act(x, scale, shift, negative_slope) @ weight.T`` for rows x (R, I)."""
    weight = weight.to(x.dtype)
    y = x.new_empty(len(x), len(weight))
    with rounded_inputs(rounds):
        for part in parts(x, max(weight.shape)):
            torch.mm(affine_act(x[part], scale, shift, negative_slope), weight.T, out=y[part])
    return y


@kernel(
    "act_linear_backward(Tensor grad, Tensor x, Tensor scale, Tensor shift, float negative_slope, "
    "Tensor weight, bool rounds) -> (Tensor, Tensor, Tensor)",
    lambda grad, x, scale, shift, negative_slope, weight, rounds: (
        torch.empty_like(x, memory_format=torch.contiguous_format),
        torch.empty_like(weight, memory_format=torch.contiguous_format),
        x.new_empty(2, x.shape[1], dtype=torch.float64),
    ),
)
def act_linear_backward(
    grad: Tensor,
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    negative_slope: float,
    weight: Tensor,
    rounds: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return, from the gradient of ``act_linear``, those of the activation (R, I) and of the weight, and the
    ``affine_act_sums`` of the first.
    """
    da, dweight = torch.empty_like(x, memory_format=torch.contiguous_format), torch.zeros_like(weight)
    sums = x.new_zeros(2, x.shape[1], dtype=torch.float64)
    like_x = weight.to(x.dtype)
    with rounded_inputs(rounds):
        for part in parts(x, max(weight.shape)):
            a = affine_act(x[part], scale, shift, negative_slope)
            dweight += grad[part].T @ a
            torch.mm(grad[part], like_x, out=da[part])
            sums += affine_act_sums(da[part], x[part], scale, shift, negative_slope)
    return da, dweight, sums


@kernel(
    "finish_norm_act_(Tensor(a!) grad, Tensor x, Tensor scale, Tensor shift, float negative_slope, "
    "Tensor slope, Tensor offset) -> ()",
    lambda *_: None,
)
def finish_(
    grad: Tensor,
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    negative_slope: float,
    slope: Tensor,
    offset: Tensor,
) -> None:
    """Write ``affine_act_backward`` over ``grad``."""
    for part in chunks(x):
        affine = (scale, shift, negative_slope, slope, offset)
        grad[part].copy_(affine_act_backward(grad[part], x[part], *affine))
