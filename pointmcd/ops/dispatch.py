"""Which backend runs a kernel: native C++ for CPU tensors, pycuda for CUDA tensors, torch for what they lack.

A *kernel* is a piece of an operation that nothing needs to look into: an operator
``torch.ops.pointmcd.<name>`` with a fake implementation, so that ``torch.compile`` traces it. Its torch form
stands beside the operation that uses it; a backend is a module with a function of the same name and arguments
for each kernel that it has.

``POINTMCD_OPS=torch|native|pycuda`` forces a backend; a forced backend that cannot run is an error.
"""

import functools
import importlib
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

_LIBRARY = torch.library.Library("pointmcd", "DEF")
_TORCH_FORMS: dict[str, Callable[..., Any]] = {}
_MODULES = {"native": "pointmcd.ops.cpu.native", "pycuda": "pointmcd.ops.cuda.backend"}
_DEVICES = {"native": "cpu", "pycuda": "cuda"}
_forced = os.environ.get("POINTMCD_OPS") or None


def kernel(schema: str, fake: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """Declare the operator ``pointmcd::<schema>``; the decorated function is its torch form.

    Args:
        schema: Name and types as in ``torch.library.Library.define``; the first argument is a tensor, whose
            device chooses the backend.
        fake: Makes the outputs' shapes and dtypes from the arguments, without data.

    Returns:
        A decorator that gives back the operator, called as the function would be.
    """
    name = schema.partition("(")[0]

    def declare(torch_form: Callable[..., Any]) -> Any:
        def run(first: Tensor, *args: Any) -> Any:
            return _implementation(name, first.device.type, _forced)(first, *args)

        _TORCH_FORMS[name] = torch_form
        _LIBRARY.define(schema)
        _LIBRARY.impl(name, run, "CompositeExplicitAutograd")
        torch.library.register_fake(f"pointmcd::{name}", fake, lib=_LIBRARY)
        return getattr(torch.ops.pointmcd, name).default

    return declare


@contextmanager
def use_backend(name: str | None) -> Iterator[None]:
    """Force a backend (``torch``, ``native``, ``pycuda``; None: the best) inside a ``with`` block."""
    global _forced
    before = _forced
    _forced = name
    try:
        yield
    finally:
        _forced = before


def backends() -> dict[str, str]:
    """Return what each backend is doing, or why it cannot: ``{'torch': 'ready ...', 'native': ...}``."""
    status = {"torch": f"ready, version {torch.__version__}"}
    for name in _MODULES:
        module, reason = _load(name)
        status[name] = f"ready, {module.describe()}" if module else f"not available: {reason}"
    return status


def runs_on(device_type: str) -> dict[str, str]:
    """Return the name of the backend that runs each kernel on ``cpu`` or ``cuda`` tensors."""
    module = _backend(device_type, _forced)
    return {name: _short(module) if hasattr(module, name) else "torch" for name in sorted(_TORCH_FORMS)}


def available(device_type: str) -> list[str]:
    """Return the names of the backends that can run on a device type here, ``torch`` first."""
    return ["torch"] + [n for n, device in _DEVICES.items() if device == device_type and _load(n)[0]]


@functools.cache
def _implementation(name: str, device_type: str, forced: str | None) -> Callable[..., Any]:
    return getattr(_backend(device_type, forced), name, _TORCH_FORMS[name])


@functools.cache
def _backend(device_type: str, forced: str | None) -> ModuleType | None:
    if forced == "torch":
        return None
    if forced is not None:
        if forced not in _MODULES:
            raise ValueError(f"POINTMCD_OPS={forced!r}: choose torch, native or pycuda")
        module, reason = _load(forced)
        if module is None:
            raise ValueError(f"POINTMCD_OPS={forced}, but this backend is not available: {reason}")
        return module if _DEVICES[forced] == device_type else None
    for name, device in _DEVICES.items():
        if device == device_type:
            module, reason = _load(name)
            if module is None:
                warnings.warn(
                    f"pointmcd runs {device_type} tensors in plain torch, much slower than {name}: {reason}",
                    stacklevel=2,
                )
            return module
    return None


@functools.cache
def _load(name: str) -> tuple[ModuleType | None, str]:
    try:
        return importlib.import_module(_MODULES[name]), ""
    except (ImportError, OSError) as error:
        return None, str(error)


def _short(module: ModuleType | None) -> str:
    return next((n for n, path in _MODULES.items() if module and module.__name__ == path), "torch")
