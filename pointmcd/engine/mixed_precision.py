"""Mixed precision on any device."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from torch import nn

from pointmcd.models.teachers.base import ImageTeacher
from pointmcd.ops import takes_bfloat16
from pointmcd.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Mixed precision in bfloat16 on the CPU and on CUDA; MMEngine's ``AmpOptimWrapper`` refuses the CPU.

    bfloat16 has float32's range, so no loss scaling is needed. On a processor without fast products in
    bfloat16 all stays in float32, and a warning says so; image teachers alone need no AMX for it.

    Args:
        kwargs: As ``OptimWrapper``.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass in bfloat16 where that is safe."""
        device, bare = get_device(), getattr(model, "module", model)
        enabled = takes_bfloat16(device, "training stays", isinstance(bare, ImageTeacher))
        with super().optim_context(model), torch.autocast(device, torch.bfloat16, enabled=enabled):
            yield
