"""Batch norms of a frozen network folded into the convolutions before them: one pass less for each."""

from typing import Any

import torch
from torch import fx, nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class _Tracer(fx.Tracer):
    """Looks no further into batch norms, which timm's have an activation in."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, nn.modules.batchnorm._BatchNorm) or super().is_leaf_module(module, name)


@torch.no_grad()
def fold_norms(network: nn.Module) -> int:
    """Fold each batch norm in eval mode that alone takes what a convolution gives into that convolution.

    The modules keep their names; of a norm what comes after it stays (timm's activation). Networks that
    cannot be traced are left as they are.

    Args:
        network: Frozen, in eval mode.

    Returns:
        How many norms were folded.
    """
    try:
        graph = _Tracer().trace(network)
    except Exception:  # whatever in a forward pass depends on data
        return 0
    modules = dict(network.named_modules())
    calls = [node.target for node in graph.nodes if node.op == "call_module"]
    folded = 0
    for node in graph.nodes:
        if node.op != "call_module" or not isinstance(modules[node.target], nn.modules.batchnorm._BatchNorm):
            continue
        before: Any = node.args[0] if node.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) != 1:
            continue
        convolution, norm = modules[str(before.target)], modules[node.target]
        shared = calls.count(before.target) > 1 or calls.count(node.target) > 1
        if type(convolution) not in _CONVOLUTIONS or shared or norm.running_mean is None:
            continue
        _fold(convolution, norm)
        parent, _, name = str(node.target).rpartition(".")
        rest = [getattr(norm, part) for part in ("drop", "act") if hasattr(norm, part)]
        rest = [part for part in rest if not isinstance(part, nn.Identity)]
        setattr(modules[parent], name, rest[0] if len(rest) == 1 else nn.Sequential(*rest))
        folded += 1
    return folded


def _fold(convolution: Any, norm: Any) -> None:
    scale = (norm.running_var + norm.eps).rsqrt()
    shift = -norm.running_mean * scale
    if norm.weight is not None:
        scale, shift = scale * norm.weight, shift * norm.weight + norm.bias
    if convolution.bias is not None:
        shift = shift + convolution.bias * scale
    convolution.weight.mul_(scale.view(-1, *[1] * (convolution.weight.dim() - 1)))
    convolution.bias = nn.Parameter(shift, requires_grad=False)
