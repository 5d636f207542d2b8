"""Matrix products with inputs in bfloat16: what mixed precision is to the operations here.

Under ``torch.autocast(device, torch.bfloat16)`` their products round what they multiply to bfloat16 (8 binary
digits) and add up in float32. All else stays in float32: what they return, statistics, norms, which point
gave a maximum, weights and gradients. The relative error of a product is then about 2e-3 (norm of the
difference by norm), and no tensor is copied to another type. On the CPU it takes a processor with AMX, where
such a product runs three to four times as fast. On CUDA inputs are rounded to TF32.

Processors with AVX512-BF16 alone have no products of bfloat16 with a float32 result, without which ties would
move maxima: there point networks stay in float32, and image networks take bfloat16.
"""

import functools
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pointmcd.ops.dispatch import kernel
from pointmcd.ops.rows import as_rows


@functools.cache
def has_bfloat16(device_type: str, of_images: bool = False) -> bool:
    """Return whether a product with inputs in bfloat16 is faster on this device than one in float32.

    Args:
        device_type: ``cpu`` or ``cuda``.
        of_images: In an image network, whose tensors may all be in bfloat16; AVX512-BF16 is enough for it.
    """
    if device_type == "cpu":
        found = torch.cpu._is_amx_tile_supported() or (of_images and torch.cpu._is_avx512_bf16_supported())
        return torch.backends.mkldnn.is_available() and found
    return device_type == "cuda"


@functools.cache
def takes_bfloat16(device_type: str, what: str, of_images: bool = False) -> bool:
    """Return ``has_bfloat16``; where that is not so, say once that ``what`` stays in float32."""
    found = has_bfloat16(device_type, of_images)
    if not found:
        needed = "AMX or AVX512-BF16" if of_images else "AMX"
        lack = f"this {device_type} has no fast products in bfloat16 (on x86: {needed})"
        warnings.warn(f"{what} in float32, as {lack}", stacklevel=2)
    return found


def rounds_inputs(x: Tensor) -> bool:
    """Return whether products with ``x`` round their inputs: under autocast, where that is faster."""
    device = x.device.type
    return (
        device != "meta"
        and torch.is_autocast_enabled(device)
        and torch.get_autocast_dtype(device) == torch.bfloat16
        and x.dtype != torch.float64
        and has_bfloat16(device)
    )


def without_autocast(x: Tensor) -> AbstractContextManager:
    """Return a block in which types stay as they are chosen; meta tensors know no autocast."""
    device = x.device.type  # older torch does not compile ``is_meta`` here
    return nullcontext() if device == "meta" else torch.autocast(device, enabled=False)


@contextmanager
def rounded_inputs(rounds: bool) -> Iterator[None]:
    """Let float32 products round their inputs inside a ``with`` block; autocast is off there."""
    before = torch.get_float32_matmul_precision()
    if rounds:
        torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        if rounds:
            torch.set_float32_matmul_precision(before)


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """Compute ``torch.nn.functional.linear``, under autocast on the CPU with a result in float32.

    Args:
        x: (..., I) floating point.
        weight: (O, I).
    """
    if x.device.type != "cpu" or not rounds_inputs(x):
        return F.linear(x, weight)
    with without_autocast(x):
        return _product(as_rows(x.float()), weight.float().T).view(*x.shape[:-1], len(weight))


def product(a: Tensor, b: Tensor, rounds: bool) -> Tensor:
    """Return the product of matrices, of which the values are rounded first or not; outside of autocast."""
    return _product(a, b) if rounds else torch.mm(a, b)


@kernel(
    "rounded_product(Tensor a, Tensor b) -> Tensor",
    lambda a, b: a.new_empty(a.shape[0], b.shape[1]),
)
def _product(a: Tensor, b: Tensor) -> Tensor:
    """Return the product of a (R, I) and b (I, C), float32, of their values rounded to bfloat16."""
    with rounded_inputs(True):
        return torch.mm(a, b)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    a, b = ctx.saved_tensors
    with without_autocast(grad):
        da = _product(grad, b.T) if ctx.needs_input_grad[0] else None
        db = _product(a.T, grad) if ctx.needs_input_grad[1] else None
        return da, db


torch.library.register_autograd("pointmcd::rounded_product", _backward, setup_context=_setup)
