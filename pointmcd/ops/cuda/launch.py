"""Text of the CUDA kernels for a dtype and sizes, and the shapes of grids that they are launched with."""

import functools
from pathlib import Path

import torch
from torch import Tensor

_TYPES = {
    torch.float32: ("float", "float"),
    torch.float64: ("double", "double"),
    torch.bfloat16: ("__nv_bfloat16", "float"),
    torch.float16: ("__half", "float"),
}
_HEADERS = {torch.bfloat16: "#include <cuda_bf16.h>\n", torch.float16: "#include <cuda_fp16.h>\n"}
NVCC_OPTIONS = ["-std=c++17", "-fmad=false"]
THREADS = 256  # of common.cuh

Sizes = tuple[tuple[str, int], ...]


@functools.cache
def source_text(file: str, dtype: torch.dtype, sizes: Sizes, header: str | None = None) -> str:
    """Text of ``<file>.cu`` for a dtype and its compile-time sizes, ready to compile.

    Args:
        file: Name without suffix.
        dtype: That of the floating point tensors.
        sizes: Names and values of the constants that the file wants, ``VEC`` among them.
        header: What declares the half types; None: the CUDA toolkit's.

    Raises:
        TypeError: No kernel takes the dtype.
    """
    if dtype not in _TYPES:
        raise TypeError(f"the CUDA kernels take {', '.join(map(str, _TYPES))}, got {dtype}")
    scalar, real = _TYPES[dtype]
    lines = [
        _HEADERS.get(dtype, "") if header is None else header,
        f"typedef {scalar} Scalar;\ntypedef {real} Real;\n",
        f"#define EPSILON Real({torch.finfo(real_type(dtype)).eps})\n",
        *(f"#define {name} {value}\n" for name, value in sizes),
    ]
    folder = Path(__file__).parent
    return "".join(lines) + "".join((folder / name).read_text() for name in ("common.cuh", f"{file}.cu"))


def run(
    file: str,
    name: str,
    dtype: torch.dtype,
    sizes: Sizes,
    grid: int,
    threads: int,
    *args: Tensor | int | float,
) -> None:
    """Run a kernel on the current stream of the tensors' device; sizes as in ``source_text``."""
    from . import runtime

    runtime.run(file, name, dtype, sizes, grid, threads, *args)


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


def real_type(dtype: torch.dtype) -> torch.dtype:
    """What the kernels compute in."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def width_of(channels: int, *tensors: Tensor) -> int:
    """Channels to a load of 16 bytes, or 1 where the tensors' rows do not start at a multiple of it."""
    width = 16 // max(t.element_size() for t in tensors)
    aligned = channels % width == 0 and all(t.data_ptr() % 16 == 0 for t in tensors)
    return width if aligned else 1


def lanes_of(channels: int, width: int) -> int:
    """Threads to a row: a power of two, at most a block."""
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
