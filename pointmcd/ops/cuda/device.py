"""The CUDA device by pycuda: compiles kernels at first use, launches them in order with torch's stream.

pycuda shares each device with torch through its primary context, current for as long as pycuda works;
compiled kernels stay in pycuda's own disk cache.
"""

import atexit
import functools
import os
import shutil
from typing import Any

import torch
from torch import Tensor

from pointmcd.ops.cuda.source import NVCC_OPTIONS, Sizes, source_text

_FORMATS = {int: "q", float: "d"}  # of struct; pointers are "P"


def _find_nvcc() -> str | None:
    folders = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    places = [None, *(os.path.join(folder, "bin") for folder in folders if folder)]
    return next(filter(None, (shutil.which("nvcc", path=place) for place in places)), None)


def check() -> None:
    """Make the driver ready; ``ImportError`` where pycuda, a CUDA device or nvcc is missing."""
    if not torch.cuda.is_available():
        raise ImportError("no CUDA device, or a torch that was built without CUDA")
    try:
        import pycuda.driver as driver
    except ImportError as error:
        raise ImportError(f"pycuda does not import ({error}); `pip install '.[cuda]'` installs it") from error
    if _find_nvcc() is None:
        raise ImportError("nvcc was not found; install the CUDA toolkit, or set CUDA_HOME to where it is")
    driver.init()


_contexts: dict[int, Any] = {}
_streams: dict[int, tuple[Any, torch.cuda.Stream]] = {}


def describe() -> str:
    """Return the devices, and the compiler."""
    names = (torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return f"{', '.join(names)}; {_find_nvcc()}"


def _context(device: int) -> Any:
    import pycuda.driver as driver

    if device not in _contexts:
        torch.cuda.synchronize(device)  # torch makes the primary context
        _contexts[device] = driver.Device(device).retain_primary_context()
    return _contexts[device]


@functools.cache
def _function(device: int, file: str, name: str, dtype: torch.dtype, sizes: Sizes, arguments: str) -> Any:
    """Return the kernel for the device whose context is current."""
    return _module(device, file, dtype, sizes).get_function(name).prepare(arguments)


@functools.cache
def _module(device: int, file: str, dtype: torch.dtype, sizes: Sizes) -> Any:
    from pycuda.compiler import SourceModule

    source = source_text(file, dtype, sizes)
    return SourceModule(source, nvcc=_find_nvcc(), options=NVCC_OPTIONS, no_extern_c=True)


def _side_stream(device: int) -> tuple[Any, torch.cuda.Stream]:
    """Return a stream that both know: pycuda launches on its own streams and the default one alone."""
    import pycuda.driver as driver

    if device not in _streams:
        non_blocking = 1
        stream = driver.Stream(non_blocking)
        _streams[device] = stream, torch.cuda.ExternalStream(stream.handle, device=device)
    return _streams[device]


def run(
    file: str,
    name: str,
    dtype: torch.dtype,
    sizes: Sizes,
    grid: int,
    threads: int,
    *args: Tensor | int | float,
) -> None:
    """Launch a kernel, in order with torch's current stream of the tensors' device.

    Raises:
        ValueError: The tensors are not all on one device.
        pycuda.driver.CompileError: nvcc refused the kernel; the text is nvcc's.
    """
    from pycuda.driver import Context

    devices = {arg.device for arg in args if isinstance(arg, Tensor)}
    if len(devices) != 1:
        raise ValueError(f"all tensors must be on one device, got {', '.join(sorted(map(str, devices)))}")
    device = devices.pop().index
    values = [arg.data_ptr() if isinstance(arg, Tensor) else arg for arg in args]
    formats = "".join(_FORMATS.get(type(arg), "P") for arg in args)
    context = _context(device)
    context.push()
    try:
        function = _function(device, file, name, dtype, sizes, formats)
        current = torch.cuda.current_stream(device)
        if current.cuda_stream == 0:
            function.prepared_async_call((grid, 1), (threads, 1, 1), None, *values)
            return
        stream, as_torch = _side_stream(device)
        as_torch.wait_stream(current)
        function.prepared_async_call((grid, 1), (threads, 1, 1), stream, *values)
        current.wait_stream(as_torch)
    finally:
        Context.pop()


@atexit.register
def _release() -> None:
    """Let go of everything while the driver is still there."""
    _function.cache_clear()
    _module.cache_clear()
    _streams.clear()
    for context in _contexts.values():
        context.detach()
    _contexts.clear()
