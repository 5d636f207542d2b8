"""Argument checks that every operation shares; each message quotes the offending shape, dtype or device."""

import torch
from torch import Tensor

MOST = 2**31 - 1  # of a dimension: argmax and many an index are int32
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_rows(name: str, tensor: Tensor, shape: tuple[int | str, ...]) -> None:
    """Raise ``ValueError`` unless ``tensor`` is floating point and has the shape; letters fit any size."""
    check_shape(name, tensor, shape)
    if tensor.dtype not in FLOATS:
        raise ValueError(
            f"{name} must be floating point, got {tensor.dtype} (16, 32 and 64 bits are supported)"
        )


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
    if any(n > MOST for n in sizes):
        raise ValueError(
            f"{name} has shape {sizes}: no dimension may reach 2 ** 31, split the batch or the cloud"
        )
    if tensor.layout != torch.strided:
        raise ValueError(f"{name} must be a dense tensor, got {tensor.layout}")


def check_one_device(**tensors: Tensor) -> None:
    """Raise ``ValueError`` unless all tensors are on one device: a kernel would read foreign memory."""
    if len({tensor.device for tensor in tensors.values()}) > 1:
        found = ", ".join(f"{name} on {tensor.device}" for name, tensor in tensors.items())
        raise ValueError(f"all tensors must be on one device, got {found}")


def check_one_dtype(**tensors: Tensor) -> None:
    """Raise ``ValueError`` unless all tensors have one dtype."""
    if len({tensor.dtype for tensor in tensors.values()}) > 1:
        found = ", ".join(f"{name} of {tensor.dtype}" for name, tensor in tensors.items())
        raise ValueError(f"{' and '.join(tensors)} must have one dtype, got {found}")


def check_count(name: str, count: int, low: int = 1, high: int = MOST, what: str = "") -> None:
    """Raise ``ValueError`` unless ``count`` is an integer in [low, high]; ``what`` says what high is."""
    if isinstance(count, (bool, Tensor)) or not hasattr(count, "__index__"):
        raise ValueError(f"{name} must be an integer, got {count!r}")
    if not low <= count <= high:
        range_ = f"at least {low}" if high == MOST and count < low else f"in [{low}, {high}]{what}"
        raise ValueError(f"{name} must be {range_}, got {count}")


def check_number(name: str, value: float) -> None:
    """Raise ``ValueError`` unless ``value`` is a real number, NaN included."""
    if isinstance(value, (bool, Tensor)) or not hasattr(value, "__float__"):
        raise ValueError(f"{name} must be a number, got {value!r}")


def computable(tensor: Tensor) -> Tensor:
    """Return the tensor, in float32 where it has half precision on the CPU, whose kernels have none."""
    if tensor.device.type == "cpu" and tensor.dtype in (torch.bfloat16, torch.float16):
        return tensor.float()
    return tensor


def wide(dtype: torch.dtype) -> torch.dtype:
    """Return what is computed in for data of a dtype: float64 for itself, float32 for all others."""
    return torch.float64 if dtype == torch.float64 else torch.float32
