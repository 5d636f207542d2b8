"""Layers of image networks whose training is needlessly slow in torch, with the same values."""

from functools import partial
from typing import TypeGuard, cast

import torch
from torch import Tensor, nn

from pointmcd import ops
from pointmcd.models.layers.norm import is_known_norm, run_norm

ACTIVATIONS: dict[type[nn.Module], dict[str, float]] = {
    nn.Identity: {"negative_slope": 1.0},
    nn.ReLU: {"negative_slope": 0.0},
    nn.ReLU6: {"negative_slope": 0.0, "ceiling": 6.0},
}
"""What ``ops.batch_norm_act`` is told of an activation that comes after."""


def quicken_training(network: nn.Module) -> None:
    """Change layers that torch trains slowly; names, weights and values stay.

    Of a training step of MobileNetV2 on one thread (24 shapes of 4 views of 112 pixels, bfloat16) the
    gradients of its four strided depthwise convolutions took a third, and of the rest batch norms and ReLU6
    half.

    Args:
        network: Of timm, or any other.
    """
    for layer in network.modules():
        act = _activation_of(layer)
        if act is not None:
            quick = partial(_normalise, cast(nn.BatchNorm2d, layer), act)
        elif _is_depthwise(layer):
            quick = partial(_depthwise, layer)
        else:
            continue
        layer.forward = quick


def _activation_of(layer: nn.Module) -> dict[str, float] | None:
    """Return what ``ACTIVATIONS`` says of that which a batch norm of images ends in; None: other layers."""
    if not isinstance(layer, nn.BatchNorm2d) or not is_known_norm(layer):
        return None
    drop, act = (getattr(layer, name, nn.Identity()) for name in ("drop", "act"))
    if act._forward_hooks or act._forward_pre_hooks:  # timm's pyramids take levels by hooks
        return None
    return ACTIVATIONS.get(type(act)) if type(drop) is nn.Identity else None


def _normalise(layer: nn.BatchNorm2d, act: dict[str, float], x: Tensor) -> Tensor:
    """Map (B, C, H, W) to its batch norm and activation; in training on a CPU, of rows, by ours."""
    if not layer.training or not _is_ours(x):
        return type(layer).forward(layer, x)
    return run_norm(layer, ops.batch_norm_act, x.permute(0, 2, 3, 1), **act).permute(0, 3, 1, 2)


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
