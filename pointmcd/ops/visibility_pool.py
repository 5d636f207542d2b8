"""Visibility pooling: one descriptor a view from the points that it sees (PointMCD's VAFP)."""

from typing import Any

import torch
from torch import Tensor

from pointmcd.ops.checks import check_count, check_index, check_one_device, check_rows, computable
from pointmcd.ops.dispatch import kernel
from pointmcd.ops.rows import as_rows, bag_max

MAX_VIEWS = 32


def visibility_pool(feats: Tensor, visibility: Tensor, num_views: int, with_global: bool = False) -> Tensor:
    """Return ``max_n visible[v, n] * feats[n]``, the maximum over what each view sees (PointMCD's VAFP).

    Hidden points count as zero, so a view's descriptor is never negative; where features are non-negative, as
    after a ReLU, it is the plain maximum over the visible points. A view that sees no point gives zeros. The
    gradient goes to the point that gave the maximum, of equal ones to that of the lowest index, and nowhere
    where zero won. A maximum over values of which one is NaN is NaN, as of ``torch.amax``; hidden points do
    not count.

    Args:
        feats: (B, M, C) floating point, M >= 1.
        visibility: (B, M) int32 bit masks, bit v set where view v sees the point.
        num_views: V, at most 32, or 31 with ``with_global``.
        with_global: Append the plain maximum over all points as one more view.

    Returns:
        (B, V, C), or (B, V + 1, C) with the global maximum last; dtype of ``feats``.

    Raises:
        ValueError: A shape, dtype, device or number of views does not fit.
    """
    check_rows("feats", feats, ("B", "M", "C"))
    check_index("visibility", visibility, tuple(feats.shape[:2]), torch.int32)
    check_one_device(feats=feats, visibility=visibility)
    check_views(num_views, with_global)
    check_count("the number of points", feats.shape[1])
    if with_global:
        visibility = add_global_view(visibility, num_views)
    pooled, _ = masked_max(computable(feats), visibility, num_views + with_global, num_views)
    return pooled.to(feats.dtype)


def check_views(num_views: int, with_global: bool) -> None:
    check_count("num_views", num_views, 0)
    count = num_views + with_global
    if not 0 <= count <= MAX_VIEWS:
        raise ValueError(f"a mask of 32 bits cannot hold {count} views (the global maximum counts as one)")


def add_global_view(visibility: Tensor, num_views: int) -> Tensor:
    """Return masks with bit ``num_views`` set: one pass then gives the maximum over all points too."""
    bit = 1 << num_views
    return visibility | (bit if bit < 2**31 else bit - 2**32)


def _fake_pool(feats: Tensor, visibility: Tensor, num_views: int, floored: bool) -> tuple[Tensor, ...]:
    shape = (feats.shape[0], num_views, feats.shape[2])
    return feats.new_empty(shape), feats.new_empty(shape, dtype=torch.int32)


def visible_lists(visibility: Tensor, num_views: int) -> tuple[Tensor, Tensor, Tensor]:
    """List the rows of the flattened (B * M) points that each view sees: members, starts, counts."""
    points = visibility.shape[1]
    views = torch.arange(num_views, dtype=torch.int32, device=visibility.device)
    visible = ((visibility[:, None, :] >> views[None, :, None]) & 1).bool()  # (B, V, M)
    counts = visible.sum(-1).flatten()
    starts = counts.cumsum(0) - counts
    b, _, m = visible.nonzero(as_tuple=True)
    return b * points + m, starts, counts


@kernel(
    "visibility_pool(Tensor feats, Tensor visibility, int num_views, int floored) -> (Tensor, Tensor)",
    _fake_pool,
)
def masked_max(feats: Tensor, visibility: Tensor, num_views: int, floored: int) -> tuple[Tensor, Tensor]:
    """Return values and argmax points (B, V, C) int32; -1 where no point gave it and the value is 0.

    The first ``floored`` views take the larger of 0 and the maximum, the others the maximum.
    """
    batch, points, channels = feats.shape
    shape = (batch, num_views, channels)
    if batch == 0 or channels == 0 or num_views == 0:
        return feats.new_zeros(shape), torch.full(shape, -1, dtype=torch.int32, device=feats.device)
    members, starts, counts = visible_lists(visibility, num_views)
    pooled, argmax = bag_max(as_rows(feats), members, starts)
    argmax = argmax.view(shape) % points
    lost = (counts == 0).view(batch, num_views, 1).expand(shape).clone()
    pooled = pooled.view(shape)
    lost[:, :floored] |= pooled[:, :floored] <= 0
    return pooled.masked_fill(lost, 0), argmax.masked_fill(lost, -1).int()


@kernel(
    "visibility_pool_backward(Tensor grad, Tensor argmax, int num_points) -> Tensor",
    lambda grad, argmax, num_points: grad.new_empty(grad.shape[0], num_points, grad.shape[2]),
)
def _pool_backward(grad: Tensor, argmax: Tensor, num_points: int) -> Tensor:
    lost = argmax < 0
    out = grad.new_zeros(grad.shape[0], num_points, grad.shape[2])
    return out.scatter_add_(1, argmax.masked_fill(lost, 0).long(), grad.masked_fill(lost, 0))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(output[1])
    ctx.num_points = inputs[0].shape[1]
    ctx.mark_non_differentiable(output[1])


def _backward(ctx: Any, grad: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
    return _pool_backward(grad, ctx.saved_tensors[0], ctx.num_points), None, None, None


torch.library.register_autograd("pointmcd::visibility_pool", _backward, setup_context=_setup)
