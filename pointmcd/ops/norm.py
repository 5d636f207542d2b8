"""Algebra of batch norm and (leaky) ReLU, with sums in double, for every operation that has one."""

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from pointmcd.ops.checks import check_one_device, check_rows, wide
from pointmcd.ops.dispatch import kernel
from pointmcd.ops.rows import chunks

Group = dist.ProcessGroup | None


def check_norm(
    channels: int,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    others: dict[str, Tensor],
) -> None:
    """Raise ``ValueError`` unless all are (C,) floating point, of any dtype, on the device of the others."""
    prefix = "norm_" if "weight" in others else ""
    tensors = {
        f"{prefix}weight": weight,
        f"{prefix}bias": bias,
        "running_mean": running_mean,
        "running_var": running_var,
    }
    for name, tensor in tensors.items():
        check_rows(name, tensor, (channels,))
    check_one_device(**others, **tensors)


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
    group: Group = None

    def statistics(self, sums: Tensor | None, count: int) -> tuple[Tensor, Tensor, int]:
        """Return mean, 1 / std and rows of the group, by these sums of x and x * x; update the running ones.

        In training the argument ``sums`` (2, C) float64 is summed over the group, else it is not looked at.
        """
        if not self.training:
            return self.running_mean.double(), (self.running_var.double() + self.eps).rsqrt(), count
        assert sums is not None
        sums, count = sum_over(self.group, sums, count)
        if count < 2:
            raise ValueError(f"batch norm in training needs at least two rows, got {count}")
        mean = sums[0] / count
        var = (sums[1] / count - mean * mean).clamp_min(0)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_((var * (count / (count - 1))).to(self.running_var.dtype), self.momentum)
        return mean, (var + self.eps).rsqrt(), count

    def signed_statistics(self, sums: Tensor, count: int, sign: Tensor) -> tuple[Tensor, Tensor, int]:
        """Return ``statistics`` for sums of ``sign * x``; the mean is of that, the running ones are of x."""
        mean, inv, count = self.statistics(torch.stack([sums[0] * sign, sums[1]]), count)
        return mean * sign, inv, count

    def affine(self, mean: Tensor, inv: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return scale and shift with ``norm(x) = scale * x + shift``, for x of ``dtype``."""
        scale = self.weight.double() * inv
        return scale.to(wide(dtype)), (self.bias.double() - mean * scale).to(wide(dtype))

    def gradients(self, sums: Tensor, mean: Tensor, inv: Tensor, count: int) -> "NormGradients":
        """Compute gradients from the sums of g and g * x here, where g is the gradient at the norm's output.

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
    """Return sums and count added up over the ranks of the group."""
    if group is None:
        return sums, count
    packed = torch.cat([sums.flatten(), sums.new_tensor([count])])
    dist.all_reduce(packed, group=group)
    return packed[:-1].view(sums.shape), int(packed[-1])


def positive_norm(norm_weight: Tensor, *rest: Any) -> tuple[Norm, Tensor]:
    """Return a norm with the scale's absolute value, and the scale's signs (C,), 1 or -1.

    With its sign in the linear layer before it, a norm grows with its argument and commutes with max.

    Args:
        norm_weight: (C,) the scale.
        rest: The other fields of ``Norm``.
    """
    sign = torch.where(norm_weight.detach() < 0, -1.0, 1.0).to(norm_weight.dtype)
    norm = Norm(norm_weight * sign, *rest)
    if not norm.negative_slope >= 0:  # the activation must not turn the order round either
        raise ValueError(f"negative_slope must not be negative, got {norm.negative_slope}")
    return norm, sign


@kernel(
    "channel_sums(Tensor x) -> Tensor",
    lambda x: x.new_empty(2, x.shape[1], dtype=torch.float64),
)
def channel_sums(x: Tensor) -> Tensor:
    """Return sums of x (R, C) and of x * x over the rows, (2, C) float64."""
    sums = x.new_zeros(2, x.shape[1], dtype=torch.float64)
    for part in chunks(x):
        rows = x[part].double()
        sums[0] += rows.sum(0)
        sums[1] += (rows * rows).sum(0)
    return sums


@kernel(
    "affine_act(Tensor x, Tensor scale, Tensor shift, float negative_slope, float? ceiling=None) -> Tensor",
    lambda x, *_: torch.empty_like(x, memory_format=torch.contiguous_format),
)
def affine_act(
    x: Tensor, scale: Tensor, shift: Tensor, negative_slope: float, ceiling: float | None = None
) -> Tensor:
    """Return leaky_relu(scale * x + shift) for rows x (R, C), at most ``ceiling``."""
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    for part in chunks(x):
        into = y[part] if y.dtype == scale.dtype else None  # halves are rounded once, at the end
        rows = F.leaky_relu_(torch.addcmul(shift, x[part], scale, out=into), negative_slope)
        if ceiling is not None:
            rows.clamp_max_(ceiling)
        if into is None:
            y[part] = rows
    return y


def through_act(
    grad: Tensor,
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    negative_slope: float,
    ceiling: float | None = None,
) -> Tensor:
    """Return the gradient at the argument of the leaky ReLU; 0 where that is at the ceiling or above."""
    if negative_slope == 1.0 and ceiling is None:
        return grad
    before = torch.addcmul(shift, x, scale)
    grad = torch.ops.aten.leaky_relu_backward(grad.to(before.dtype), before, negative_slope, False)
    return grad if ceiling is None else grad.masked_fill(before >= ceiling, 0)


@kernel(
    "affine_act_sums(Tensor grad, Tensor x, Tensor scale, Tensor shift, float negative_slope, "
    "float? ceiling=None) -> Tensor",
    lambda grad, x, *_: x.new_empty(2, x.shape[1], dtype=torch.float64),
)
def affine_act_sums(
    grad: Tensor,
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    negative_slope: float,
    ceiling: float | None = None,
) -> Tensor:
    """Return sums over the rows of g and g * x, (2, C) float64; g: the gradient before the activation."""
    sums = x.new_zeros(2, x.shape[1], dtype=torch.float64)
    for part in chunks(x):
        g = through_act(grad[part], x[part], scale, shift, negative_slope, ceiling).double()
        sums[0] += g.sum(0)
        sums[1] += (g * x[part]).sum(0)
    return sums


@kernel(
    "affine_act_backward(Tensor grad, Tensor x, Tensor scale, Tensor shift, float negative_slope, "
    "Tensor slope, Tensor offset, float? ceiling=None) -> Tensor",
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
    ceiling: float | None = None,
) -> Tensor:
    """Scale * g + slope * x + offset, with g as in ``affine_act_sums``."""
    dx = torch.empty_like(x, memory_format=torch.contiguous_format)
    for part in chunks(x):
        g = through_act(grad[part], x[part], scale, shift, negative_slope, ceiling)
        into = dx[part] if dx.dtype == scale.dtype else None
        rows = torch.addcmul(offset, x[part], slope, out=into).addcmul_(g, scale)
        if into is None:
            dx[part] = rows
    return dx
