"""Shapes of the grids that kernels are launched with."""

import torch
from torch import Tensor

from pointmcd.ops.cuda.device import run
from pointmcd.ops.cuda.source import THREADS


def launch(
    file: str,
    name: str,
    dtype: torch.dtype,
    grid: int,
    threads: int,
    *args: Tensor | int | float,
    **sizes: int,
) -> None:
    """Run a kernel with its sizes in order, and ``VEC`` among them, unless its grid is empty.

    Raises:
        ValueError: The grid is larger than CUDA allows.
    """
    if grid >= 2**31:
        raise ValueError(f"{name} would take {grid} blocks, CUDA allows 2 ** 31 - 1: split the batch")
    if grid:
        sizes = {"VEC": 1, **sizes}
        run(file, name, dtype, tuple(sorted(sizes.items())), grid, threads, *args)


def ceil(a: int, b: int) -> int:
    return -(-a // b)


def contiguous(dtype: torch.dtype, *tensors: Tensor) -> list[Tensor]:
    return [tensor.to(dtype).contiguous() for tensor in tensors]


def width_of(channels: int, *tensors: Tensor) -> int:
    """Return channels to a load of 16 bytes, or 1 where rows of the tensors start elsewhere."""
    width = 16 // max(t.element_size() for t in tensors)
    aligned = channels % width == 0 and all(t.data_ptr() % 16 == 0 for t in tensors)
    return width if aligned else 1


def lanes_of(channels: int, width: int) -> int:
    """Return threads to a row: a power of two, at most a block."""
    return min(THREADS, 1 << (max(ceil(channels, width), 1) - 1).bit_length())


def launch_rows(
    file: str, name: str, tensors: tuple[Tensor, ...], *args: Tensor | int | float, rows: int, **sizes: int
) -> None:
    """Launch a kernel with some threads, its last argument, to a row. ``args`` end with the channels."""
    channels = int(args[-1])
    width = width_of(channels, *tensors)
    lanes = lanes_of(channels, width)
    grid = ceil(rows, THREADS // lanes) if channels else 0
    launch(file, name, tensors[0].dtype, grid, THREADS, *args, lanes, VEC=width, **sizes)


def launch_sums(
    name: str,
    tensors: tuple[Tensor, ...],
    *args: Tensor | float,
    channels: int,
    rows: int,
    params: tuple[float, ...] = (),
) -> Tensor:
    """Launch a kernel of ``norm.cu`` that sums over rows; gives the sums (2, C)."""
    width = width_of(channels, *tensors)
    lanes = lanes_of(channels, width)
    step = max(8 * THREADS // lanes, ceil(rows, 2048))
    grid = ceil(rows, step)
    partial = tensors[0].new_empty(grid, 2, channels, dtype=torch.float64)
    dtype = tensors[0].dtype
    launch(
        "norm", name, dtype, grid, THREADS, *args, partial, *params, rows, channels, step, lanes, VEC=width
    )
    return partial.sum(0)
