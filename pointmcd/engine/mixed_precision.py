"""Mixed precision on any device."""

import functools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from torch import nn

from pointmcd.ops import has_bfloat16
from pointmcd.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Mixed precision in bfloat16 on the CPU and on CUDA; MMEngine's ``AmpOptimWrapper`` refuses the CPU.

    bfloat16 has float32's range, so no loss scaling is needed. On a processor without fast products in
    bfloat16 all stays in float32, and a warning says so.

    Args:
        kwargs: As ``OptimWrapper``.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass in bfloat16 where that is safe."""
        device = get_device()
        if not has_bfloat16(device):
            warn_of_float32(device)
        with (
            super().optim_context(model),
            torch.autocast(device, torch.bfloat16, enabled=has_bfloat16(device)),
        ):
            yield


@functools.cache
def warn_of_float32(device: str) -> None:
    """Say once that mixed precision is not to be had."""
    warnings.warn(
        f"mixed precision is left out: this {device} has no fast products in bfloat16 (on x86: AMX); "
        "training stays in float32",
        stacklevel=2,
    )
