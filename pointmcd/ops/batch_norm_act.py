"""Batch norm and (leaky) ReLU in one, for rows (..., C), with sums in double."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from ._checks import check_rows, computable, wide
from .dispatch import kernel

Group = dist.ProcessGroup | None


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
) -> Tensor:
    """Batch norm over all leading dimensions (Ioffe and Szegedy 2015, algorithm 1), then leaky ReLU.

    ``torch.nn.functional.batch_norm`` sums rows in plain float32 on the CPU and loses three digits on long
    inputs; here statistics are summed in double.

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

    Returns:
        The shape and dtype of ``x``.

    Raises:
        ValueError: A shape or dtype does not fit, or ``training`` with fewer than two rows.
    """
    check_rows("x", x, ("...",) * (x.dim() - 1) + ("C",))
    check_norm(x.shape[-1], weight, bias, running_mean, running_var)
    norm = Norm(weight, bias, running_mean, running_var, training, momentum, eps, negative_slope, group)
    rows = computable(x).reshape(-1, x.shape[-1])
    return _BatchNormAct.apply(rows, weight, bias, norm).view(x.shape).to(x.dtype)


def check_norm(
    channels: int, weight: Tensor, bias: Tensor, running_mean: Tensor, running_var: Tensor
) -> None:
    check_rows("weight", weight, (channels,))
    check_rows("bias", bias, (channels,))
    check_rows("running_mean", running_mean, (channels,))
    check_rows("running_var", running_var, (channels,))


class Norm(NamedTuple):
    """What batch norm is told, and its arithmetic on (C,) vectors in double."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    training: bool
    momentum: float
    eps: float
    negative_slope: float
    group: Group

    def statistics(self, sums: Tensor, count: int) -> tuple[Tensor, Tensor, int]:
        """Mean, 1 / std and rows over the group, from the sums of x and x * x here; updates the running ones.

        In training the argument ``sums`` (2, C) float64 is summed over the group, else it is not looked at.
        """
        if not self.training:
            return self.running_mean.double(), (self.running_var.double() + self.eps).rsqrt(), count
        sums, count = sum_over(self.group, sums, count)
        if count < 2:
            raise ValueError(f"batch norm in training needs at least two rows, got {count}")
        mean = sums[0] / count
        var = (sums[1] / count - mean * mean).clamp_min(0)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_((var * (count / (count - 1))).to(self.running_var.dtype), self.momentum)
        return mean, (var + self.eps).rsqrt(), count

    def affine(self, mean: Tensor, inv: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Scale and shift with ``norm(x) = scale * x + shift``, for x of ``dtype``."""
        scale = self.weight.double() * inv
        return scale.to(wide(dtype)), (self.bias.double() - mean * scale).to(wide(dtype))

    def gradients(self, sums: Tensor, mean: Tensor, inv: Tensor, count: int) -> "NormGradients":
        """From the sums of g and g * x here, where g is the gradient at the norm's output.

        The gradient at the input is ``scale * g + slope * x + offset`` for every one of the ``count`` rows.
        """
        grad_bias = sums[0]
        grad_weight = inv * (sums[1] - mean * sums[0])
        if not self.training:
            none = torch.zeros_like(mean)
            return NormGradients(grad_weight, grad_bias, none, none)
        total, _ = sum_over(self.group, sums, 0)
        scale = self.weight.double() * inv
        slope = -scale * inv * inv * (total[1] - mean * total[0]) / count
        offset = -scale * total[0] / count - slope * mean
        return NormGradients(grad_weight, grad_bias, slope, offset)


class NormGradients(NamedTuple):
    """All (C,) float64."""

    weight: Tensor
    bias: Tensor
    slope: Tensor
    offset: Tensor


def sum_over(group: Group, sums: Tensor, count: int) -> tuple[Tensor, int]:
    """Sums and count added up over the ranks of the group."""
    if group is None:
        return sums, count
    packed = torch.cat([sums.flatten(), sums.new_tensor([count])])
    dist.all_reduce(packed, group=group)
    return packed[:-1].view(sums.shape), int(packed[-1])


class _BatchNormAct(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, norm):
        sums = channel_sums(x) if norm.training else None
        mean, inv, count = norm.statistics(sums, len(x))
        scale, shift = norm.affine(mean, inv, x.dtype)
        ctx.norm, ctx.count = norm, count
        ctx.save_for_backward(x, scale, shift, mean, inv)
        return affine_act(x, scale, shift, norm.negative_slope)

    @staticmethod
    def backward(ctx, grad):
        x, scale, shift, mean, inv = ctx.saved_tensors
        norm = ctx.norm
        sums = affine_act_sums(grad, x, scale, shift, norm.negative_slope)
        g = norm.gradients(sums, mean, inv, ctx.count)
        slope, offset = g.slope.to(scale.dtype), g.offset.to(scale.dtype)
        dx = affine_act_backward(grad, x, scale, shift, norm.negative_slope, slope, offset)
        return dx, g.weight.to(norm.weight.dtype), g.bias.to(norm.bias.dtype), None


def chunks(x: Tensor) -> Iterator[slice]:
    """Slices of the rows x (R, C) that a torch form works on at once: on the CPU what stays in cache."""
    step = max(1, (2**24 if x.is_cuda else 2**16) // max(x.shape[1], 1))
    return (slice(first, first + step) for first in range(0, len(x), step))


@kernel(
    "channel_sums(Tensor x) -> Tensor",
    lambda x: x.new_empty(2, x.shape[1], dtype=torch.float64),
)
def channel_sums(x: Tensor) -> Tensor:
    """Sums of x (R, C) and of x * x over the rows, (2, C) float64."""
    sums = x.new_zeros(2, x.shape[1], dtype=torch.float64)
    for part in chunks(x):
        rows = x[part].double()
        sums[0] += rows.sum(0)
        sums[1] += (rows * rows).sum(0)
    return sums


@kernel(
    "affine_act(Tensor x, Tensor scale, Tensor shift, float negative_slope) -> Tensor",
    lambda x, scale, shift, negative_slope: torch.empty_like(x, memory_format=torch.contiguous_format),
)
def affine_act(x: Tensor, scale: Tensor, shift: Tensor, negative_slope: float) -> Tensor:
    """leaky_relu(scale * x + shift) for rows x (R, C)."""
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    for part in chunks(x):
        F.leaky_relu_(torch.addcmul(shift, x[part], scale, out=y[part]), negative_slope)
    return y


def through_act(grad: Tensor, x: Tensor, scale: Tensor, shift: Tensor, negative_slope: float) -> Tensor:
    """Gradient at the argument of the leaky ReLU."""
    if negative_slope == 1.0:
        return grad
    return torch.ops.aten.leaky_relu_backward(grad, torch.addcmul(shift, x, scale), negative_slope, False)


@kernel(
    "affine_act_sums(Tensor grad, Tensor x, Tensor scale, Tensor shift, float negative_slope) -> Tensor",
    lambda grad, x, scale, shift, negative_slope: x.new_empty(2, x.shape[1], dtype=torch.float64),
)
def affine_act_sums(grad: Tensor, x: Tensor, scale: Tensor, shift: Tensor, negative_slope: float) -> Tensor:
    """Sums over the rows of g and g * x, (2, C) float64; g is the gradient at the leaky ReLU's argument."""
    sums = x.new_zeros(2, x.shape[1], dtype=torch.float64)
    for part in chunks(x):
        g = through_act(grad[part], x[part], scale, shift, negative_slope).double()
        sums[0] += g.sum(0)
        sums[1] += (g * x[part]).sum(0)
    return sums


@kernel(
    "affine_act_backward(Tensor grad, Tensor x, Tensor scale, Tensor shift, float negative_slope, "
    "Tensor slope, Tensor offset) -> Tensor",
    lambda grad, x, *_: torch.empty_like(x, memory_format=torch.contiguous_format),
)
def affine_act_backward(
    grad: Tensor,
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    negative_slope: float,
    slope: Tensor,
    offset: Tensor,
) -> Tensor:
    """scale * g + slope * x + offset, with g as in ``affine_act_sums``."""
    dx = torch.empty_like(x, memory_format=torch.contiguous_format)
    for part in chunks(x):
        g = through_act(grad[part], x[part], scale, shift, negative_slope)
        torch.addcmul(offset, x[part], slope, out=dx[part]).addcmul_(g, scale)
    return dx
