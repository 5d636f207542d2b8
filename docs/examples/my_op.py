"""An operation and its plain twin, which ``tests/test_extending.py`` compares."""

from typing import Any

import torch
from torch import Tensor

from pointmcd.ops.checks import check_index, check_rows
from pointmcd.ops.dispatch import kernel


def neighbor_mean(feats: Tensor, neighbors: Tensor) -> Tensor:
    """Return the mean of the features of each point's neighbours.

    Args:
        feats: (B, N, C) floating point.
        neighbors: (B, N, k) int64 rows of ``feats``, k >= 1.

    Returns:
        (B, N, C), dtype of ``feats``.

    Raises:
        ValueError: A shape does not fit.
    """
    check_rows("feats", feats, ("B", "N", "C"))
    check_index("neighbors", neighbors, (*feats.shape[:2], "k"))
    return _neighbor_mean(feats, neighbors)


def neighbor_mean_reference(feats: Tensor, neighbors: Tensor) -> Tensor:
    """Compute the formula as it stands, slow and differentiable: what every backend is tested against."""
    return torch.stack([rows[index].mean(1) for rows, index in zip(feats, neighbors, strict=True)])


@kernel(
    "my_neighbor_mean(Tensor feats, Tensor neighbors) -> Tensor", lambda feats, _: torch.empty_like(feats)
)
def _neighbor_mean(feats: Tensor, neighbors: Tensor) -> Tensor:
    total = torch.zeros_like(feats)
    for column in neighbors.unbind(-1):  # (B, N), so that no (B, N, k, C) is stored
        total += feats.gather(1, column.unsqueeze(-1).expand_as(feats))
    return total / neighbors.shape[-1]


def _setup(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    (neighbors,) = ctx.saved_tensors
    return _neighbor_mean_backward(grad, neighbors), None


@kernel(
    "my_neighbor_mean_backward(Tensor grad, Tensor neighbors) -> Tensor",
    lambda grad, _: torch.empty_like(grad),
)
def _neighbor_mean_backward(grad: Tensor, neighbors: Tensor) -> Tensor:
    out = torch.zeros_like(grad)
    for column in neighbors.unbind(-1):
        out.scatter_add_(1, column.unsqueeze(-1).expand_as(grad), grad / neighbors.shape[-1])
    return out


torch.library.register_autograd("pointmcd::my_neighbor_mean", _backward, setup_context=_setup)
