"""In the device's place: the CUDA kernels, compiled by g++ behind ``emulate.h``, run on CPU tensors."""

import ctypes
import functools
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from pointmcd.ops.cuda import source

FLAGS = ["-std=c++17", "-O1", "-fPIC", "-ffp-contract=off", "-Wall", "-Wno-unknown-pragmas"]
# Shared memory is a static variable of a function: the libraries must not take one another's, of other sizes.
FLAGS += ["-Wno-unused-function", "-fno-gnu-unique"]
SHARED = ["-shared", "-Wl,-Bsymbolic"]
FILES = sorted(path.stem for path in Path(source.__file__).parent.glob("*.cu"))
COMPILER = shutil.which("g++")
_BUILDS = tempfile.TemporaryDirectory(prefix="pointmcd-kernels-")


def names(file: str) -> list[str]:
    """The kernels of ``<file>.cu``."""
    text = (Path(source.__file__).parent / f"{file}.cu").read_text()
    return re.findall(r"__global__ void(?: __launch_bounds__\(.*\))?\s+(\w+)\(", text)


@functools.cache
def _header() -> Path:
    """``emulate.h``, precompiled: most of the time that a library takes."""
    header = Path(shutil.copy(Path(__file__).with_name("emulate.h"), _BUILDS.name))
    _compile("-o", header.with_suffix(".h.gch"), header)
    for halves in ("cuda_bf16.h", "cuda_fp16.h"):  # of the toolkit: emulate.h has the type
        header.with_name(halves).touch()
    return header


def _compile(*options: str | Path) -> None:
    done = subprocess.run([COMPILER, *FLAGS, *options], capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr


@functools.cache
def _library(file: str, dtype: torch.dtype, sizes: source.Sizes) -> ctypes.CDLL:
    text = source.source_text(file, dtype, sizes)
    text += "".join(f"KERNEL({name})\n" for name in names(file))
    path = Path(_BUILDS.name) / f"{file}_{len(list(Path(_BUILDS.name).iterdir()))}"
    path.with_suffix(".cpp").write_text(text)
    header = ("-include", _header(), "-I", _BUILDS.name)
    _compile(*SHARED, *header, "-o", path.with_suffix(".so"), path.with_suffix(".cpp"))
    return ctypes.CDLL(str(path.with_suffix(".so")))


def run(
    file: str,
    name: str,
    dtype: torch.dtype,
    sizes: source.Sizes,
    grid: int,
    threads: int,
    *args: Tensor | int | float,
    falling: bool = False,
) -> None:
    """``launch.run`` on the host."""
    values = [_argument(value) for value in args]
    pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
    function = getattr(_library(file, dtype, sizes), f"emulate_{name}")
    function(ctypes.c_int64(grid), ctypes.c_int64(threads), int(falling), pointers)


def _argument(value: Tensor | int | float) -> ctypes.c_void_p | ctypes.c_int64 | ctypes.c_double:
    if isinstance(value, Tensor):
        assert value.is_contiguous()
        return ctypes.c_void_p(value.data_ptr())
    return ctypes.c_double(value) if isinstance(value, float) else ctypes.c_int64(value)
