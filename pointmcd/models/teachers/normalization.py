"""How images come before a network: their size and their statistics."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORMALIZATIONS: dict[str, tuple[list[float], list[float]]] = {
    "unit": ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0]),
    "symmetric": ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
    "imagenet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
}
"""Mean and standard deviation by which images in 0..1 are normalised; ``unit`` leaves them (official)."""
OF_TIMM = "timm"
"""Stands for the statistics that timm says a network was trained with (its ``pretrained_cfg``)."""


def statistics(normalization: str, network: nn.Module) -> tuple[list[float], list[float]]:
    """Return the mean and standard deviation of each colour of images in 0..1, as a network takes them.

    Args:
        normalization: One of ``NORMALIZATIONS``, or ``timm``.
        network: Of timm, or a ``TimmPyramid``, for ``timm``.

    Raises:
        ValueError: The name is not known, or timm does not know the network.
    """
    if normalization in NORMALIZATIONS:
        return NORMALIZATIONS[normalization]
    if normalization != OF_TIMM:
        raise ValueError(
            f"normalization is {normalization!r}; choose {', '.join([*NORMALIZATIONS, OF_TIMM])}"
        )
    known = _timm_says(network, f"normalization is {OF_TIMM!r}", f"choose {', '.join(NORMALIZATIONS)}")
    return list(known["mean"]), list(known["std"])


def trained_size(network: nn.Module) -> int:
    """Return the side of the images that timm's weights of a network were trained with.

    Raises:
        ValueError: timm does not know the network.
    """
    return _timm_says(network, "input_size is None", "give a number")["input_size"][-1]


def _timm_says(network: nn.Module, given: str, remedy: str) -> dict[str, Any]:
    known = getattr(network, "pretrained_cfg", None)
    if known is None:
        raise ValueError(f"{given}, but {type(network).__name__} is not a network of timm's; {remedy}")
    return known


def in_unit_range(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Return images of any shape, bytes or floats in 0..1, as floats in 0..1."""
    return images.to(dtype) if images.is_floating_point() else images.to(dtype) / 255


def seen_by(
    network: nn.Module,
    images: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    input_size: int = 0,
    enlarge_only: bool = False,
) -> Tensor:
    """Resize and normalise images (B, 3, H, W), uint8 or floats in 0..1, in the type of its weights.

    Args:
        network: Which is to see them.
        images: What to resize (bilinear, antialiased).
        mean: Of each colour of images in 0..1.
        std: Standard deviation, likewise.
        input_size: Side, or 0 to leave the images as they are.
        enlarge_only: Leave images that are larger.
    """
    dtype = next(network.parameters()).dtype
    images = in_unit_range(
        images, torch.promote_types(dtype, torch.float32)
    )  # bfloat16 is too coarse for pixels
    square = (input_size, input_size)
    if input_size and images.shape[-2:] != square and not (enlarge_only and images.shape[-1] > input_size):
        images = F.interpolate(images, square, mode="bilinear", antialias=True)
    shift, scale = (images.new_tensor(values).view(3, 1, 1) for values in (mean, std))
    return ((images - shift) / scale).to(dtype, memory_format=torch.channels_last)
