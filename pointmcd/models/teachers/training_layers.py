"""Layers of image networks whose training is needlessly slow in torch, with the same values."""

from functools import partial
from typing import TypeGuard, cast

import torch
from torch import Tensor, nn

from pointmcd import ops

ACTIVATIONS = {nn.Identity: (-torch.inf, torch.inf), nn.ReLU: (0.0, torch.inf), nn.ReLU6: (0.0, 6.0)}
"""Between which bounds what they map to lies."""


def quicken_training(network: nn.Module) -> None:
    """Change layers that torch trains slowly; names, weights and values stay.

    Of a training step of MobileNetV2 on one thread (24 shapes of 4 views of 112 pixels, bfloat16) the
    gradients of its four strided depthwise convolutions took a third, and of the rest batch norms and ReLU6
    half.

    Args:
        network: Of timm, or any other.
    """
    for layer in network.modules():
        bounds = _bounds_of(layer)
        if bounds is not None:
            quick = partial(_normalise, cast(nn.BatchNorm2d, layer), bounds)
        elif _is_depthwise(layer):
            quick = partial(_depthwise, layer)
        else:
            continue
        layer.forward = quick


def _bounds_of(layer: nn.Module) -> tuple[float, float] | None:
    """Return what a batch norm's activation, if it has one, clamps to; None for other layers."""
    if type(layer) is not nn.BatchNorm2d and type(layer).__name__ != "BatchNormAct2d":  # timm's
        return None
    if not layer.affine or not layer.track_running_stats or layer.momentum is None:
        return None
    drop, act = (getattr(layer, name, nn.Identity()) for name in ("drop", "act"))
    if act._forward_hooks or act._forward_pre_hooks:  # timm's pyramids take levels by hooks
        return None
    return ACTIVATIONS.get(type(act)) if type(drop) is nn.Identity else None


def _normalise(layer: nn.BatchNorm2d, bounds: tuple[float, float], x: Tensor) -> Tensor:
    """Map (B, C, H, W) to its batch norm and activation; in training on a CPU, of rows, by ours."""
    if not layer.training or not _is_ours(x) or x.dtype == torch.float16:
        return type(layer).forward(layer, x)
    assert layer.num_batches_tracked is not None
    assert layer.running_mean is not None
    assert layer.running_var is not None
    assert layer.momentum is not None
    layer.num_batches_tracked.add_(1)
    y = ops.batch_norm_clamp(
        x.permute(0, 2, 3, 1),
        layer.weight,
        layer.bias,
        layer.running_mean,
        layer.running_var,
        training=True,
        momentum=layer.momentum,
        eps=layer.eps,
        low=bounds[0],
        high=bounds[1],
    )
    return y.permute(0, 3, 1, 2)


def _depthwise(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """Map (B, C, H, W) to (B, C, h, w); in bfloat16, in training on a CPU, of rows, with our gradients."""
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    if not _is_ours(x) or dtype != torch.bfloat16:
        return type(layer).forward(layer, x)
    inputs = x.permute(0, 2, 3, 1).to(dtype), layer.weight.to(dtype)
    with ops.without_autocast(x):
        y = ops.depthwise_conv(*inputs, layer.stride, layer.padding)  # type: ignore[arg-type]  # pairs
    return y.permute(0, 3, 1, 2)


def _is_ours(x: Tensor) -> bool:
    trained = torch.is_grad_enabled() and x.requires_grad
    return trained and x.device.type == "cpu" and x.is_contiguous(memory_format=torch.channels_last)


def _is_depthwise(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    return (
        type(layer) is nn.Conv2d
        and layer.groups == layer.in_channels == layer.out_channels
        and layer.kernel_size in ((3, 3), (5, 5))
        and layer.dilation == (1, 1)
        and layer.bias is None
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )
