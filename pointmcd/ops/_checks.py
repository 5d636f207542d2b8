"""Argument checks that every operation shares; each message quotes the offending shape or dtype."""

import torch
from torch import Tensor


def check_rows(name: str, tensor: Tensor, shape: tuple[int | str, ...]) -> None:
    """Raise ``ValueError`` unless ``tensor`` is floating point and has the shape; letters fit any size."""
    check_shape(name, tensor, shape)
    if not tensor.is_floating_point():
        raise ValueError(f"{name} must be floating point, got {tensor.dtype}")


def check_index(
    name: str, tensor: Tensor, shape: tuple[int | str, ...], dtype: torch.dtype = torch.int64
) -> None:
    """Raise ``ValueError`` unless ``tensor`` has the integer dtype and the shape."""
    check_shape(name, tensor, shape)
    if tensor.dtype != dtype:
        raise ValueError(f"{name} must be {dtype}, got {tensor.dtype}")


def check_shape(name: str, tensor: Tensor, shape: tuple[int | str, ...]) -> None:
    sizes = tuple(tensor.shape)
    fits = len(sizes) == len(shape) and all(
        isinstance(s, str) or s == n for s, n in zip(shape, sizes, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} must have shape ({', '.join(map(str, shape))}), got {sizes}")
    if any(n >= 2**31 for n in sizes):
        raise ValueError(
            f"{name} has shape {sizes}: no dimension may reach 2 ** 31, split the batch or the cloud"
        )


def computable(tensor: Tensor) -> Tensor:
    """The tensor itself; in float32 where it has half precision on the CPU, whose kernels have no such
    type.
    """
    if tensor.device.type == "cpu" and tensor.dtype in (torch.bfloat16, torch.float16):
        return tensor.float()
    return tensor


def wide(dtype: torch.dtype) -> torch.dtype:
    """What is computed in for data of a dtype: float64 for itself, float32 for all others."""
    return torch.float64 if dtype == torch.float64 else torch.float32
