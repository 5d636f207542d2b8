"""Text of the CUDA kernels for a dtype and sizes."""

import functools
from pathlib import Path

import torch

from pointmcd.ops.checks import wide

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
def source_text(file: str, dtype: torch.dtype, sizes: Sizes) -> str:
    """Return the text of ``<file>.cu`` for a dtype and its compile-time sizes, ready to compile.

    Args:
        file: Name without suffix.
        dtype: That of the floating point tensors.
        sizes: Names and values of the constants that the file wants, ``VEC`` among them.

    Raises:
        TypeError: No kernel takes the dtype.
    """
    if dtype not in _TYPES:
        raise TypeError(f"the CUDA kernels take {', '.join(map(str, _TYPES))}, got {dtype}")
    scalar, real = _TYPES[dtype]
    lines = [
        _HEADERS.get(dtype, ""),
        f"typedef {scalar} Scalar;\ntypedef {real} Real;\n",
        f"#define EPSILON Real({torch.finfo(wide(dtype)).eps})\n",
        *(f"#define {name} {value}\n" for name, value in sizes),
    ]
    folder = Path(__file__).parent
    return "".join(lines) + "".join((folder / name).read_text() for name in ("common.cuh", f"{file}.cu"))
