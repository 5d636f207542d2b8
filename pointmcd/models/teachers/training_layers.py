"""Layers of image networks whose training is needlessly slow in torch, with the same values."""

from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

aten = torch.ops.aten
Pair = tuple[int, int]


def quicken_training(network: nn.Module) -> None:
    """Replace layers that torch trains slowly; names, weights and values stay.

    Of a training step of MobileNetV2 on one thread (24 shapes of 4 views of 112 pixels) the gradients of its
    four strided depthwise convolutions took a third in bfloat16, and copies that ReLU6 makes because it works
    in place an eighth in float32.

    Args:
        network: Of timm, or any other.
    """
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if layer._forward_hooks or layer._forward_pre_hooks:  # timm's pyramids take levels by hooks
                continue
            if type(layer) is nn.ReLU6 and layer.inplace:
                parent.register_module(name, ReLU6InPlace(inplace=True))
            elif _is_strided_depthwise(layer):
                parent.register_module(name, StridedDepthwise(layer))


class ReLU6InPlace(nn.ReLU6):
    """ReLU6 that keeps its output for the gradient; torch's own copies the input before it overwrites it."""

    def forward(self, x: Tensor) -> Tensor:
        """Clamp x of any shape to 0..6, in place."""
        if torch.is_grad_enabled() and x.requires_grad:
            return _Clamp.apply(x)
        return super().forward(x)


class StridedDepthwise(nn.Conv2d):
    """A depthwise convolution with a stride, whose gradient at the input is that of stride 1.

    With zeros between the gradients of the outputs, it is the same sum. In bfloat16 on a CPU oneDNN has a
    fast path for it and none for strides: 3 to 10 times; elsewhere the layer is torch's own.

    Args:
        layer: Whose weight it shares.
    """

    def __init__(self, layer: nn.Conv2d) -> None:
        kept = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
        options: dict[str, Any] = {name: getattr(layer, name) for name in kept}
        super().__init__(**options, bias=False, device="meta")  # draws no weights
        self.weight = layer.weight
        self.train(layer.training)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, h, w)."""
        trained = torch.is_grad_enabled() and x.requires_grad
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        if x.device.type != "cpu" or dtype != torch.bfloat16 or not trained:
            return super().forward(x)
        options = self.stride, self.padding, self.dilation
        return _Strided.apply(x.to(dtype), self.weight.to(dtype), *options)


def _is_strided_depthwise(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    return (
        type(layer) is nn.Conv2d
        and layer.groups == layer.in_channels == layer.out_channels
        and layer.stride != (1, 1)
        and layer.bias is None
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


class _Clamp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_dirty(x.clamp_(0, 6))
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return aten.hardtanh_backward(grad, y, 0, 6)


class _Strided(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, padding, dilation
        return F.conv2d(x, weight, None, stride, padding, dilation, len(weight))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, padding, dilation = ctx.geometry
        more = padding, dilation, False, (0, 0), len(weight)
        _, to_weight, _ = aten.convolution_backward(
            grad, x, weight, None, stride, *more, (False, ctx.needs_input_grad[1], False)
        )
        high, wide = (
            side + 2 * pad - step * (kernel - 1)
            for side, pad, step, kernel in zip(x.shape[2:], padding, dilation, weight.shape[2:], strict=True)
        )
        rows = x.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if rows else torch.contiguous_format
        size = len(x), len(weight), high, wide
        spread = torch.empty(size, dtype=grad.dtype, memory_format=layout).zero_()
        spread[:, :, :: stride[0], :: stride[1]] = grad
        to_input, _, _ = aten.convolution_backward(
            spread, x, weight, None, (1, 1), *more, (True, False, False)
        )
        return to_input, to_weight, None, None, None
