"""A depthwise convolution of images (B, H, W, C): its gradients, which torch takes long for on a CPU."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pointmcd.ops.checks import check_one_device, check_one_dtype, check_rows
from pointmcd.ops.dispatch import kernel

KERNELS = (3, 5)
Pair = tuple[int, int]


def depthwise_conv(x: Tensor, weight: Tensor, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> Tensor:
    """Return ``torch.nn.functional.conv2d`` with one filter a channel; the forward pass is torch's own.

    Args:
        x: (B, H, W, C) bfloat16, float32 or float64; images in ``torch.channels_last`` are it by
            ``permute(0, 2, 3, 1)``.
        weight: (C, 1, K, K) of the same dtype, K 3 or 5.
        stride: Along H and W.
        padding: Zeros on both sides.

    Returns:
        (B, h, w, C).

    Raises:
        ValueError: A shape, dtype or device does not fit.
    """
    check_rows("x", x, ("B", "H", "W", "C"))
    side = weight.shape[-1] if weight.dim() == 4 else 0
    if side not in KERNELS or weight.shape != (x.shape[3], 1, side, side):
        shape = f"({x.shape[3]}, 1, K, K) with K {' or '.join(map(str, KERNELS))}"
        raise ValueError(f"weight must have shape {shape}, got {tuple(weight.shape)}")
    if x.dtype == torch.float16:
        raise ValueError("x must be of bfloat16, float32 or float64, got torch.float16")
    check_one_dtype(x=x, weight=weight)
    check_one_device(x=x, weight=weight)
    return _DepthwiseConv.apply(x, weight, stride, padding)


class _DepthwiseConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = list(stride), list(padding)
        y = F.conv2d(x.permute(0, 3, 1, 2), weight, None, stride, padding, 1, len(weight))
        return y.permute(0, 2, 3, 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return *depthwise_backward(grad, *ctx.saved_tensors, *ctx.geometry), None, None


@kernel(
    "depthwise_backward(Tensor grad, Tensor x, Tensor weight, int[] stride, int[] padding)"
    " -> (Tensor, Tensor)",
    lambda grad, x, weight, *_: (
        torch.empty_like(x, memory_format=torch.contiguous_format),
        torch.empty_like(weight, memory_format=torch.contiguous_format),
    ),
)
def depthwise_backward(
    grad: Tensor, x: Tensor, weight: Tensor, stride: list[int], padding: list[int]
) -> tuple[Tensor, Tensor]:
    """Return the gradients at x (B, H, W, C) and at the weight (C, 1, K, K)."""
    images = (one.permute(0, 3, 1, 2) for one in (grad, x))
    options = None, stride, padding, (1, 1), False, (0, 0), len(weight), (True, True, False)
    dx, dweight, _ = torch.ops.aten.convolution_backward(*images, weight, *options)
    return dx.permute(0, 2, 3, 1).contiguous(), dweight.contiguous()
