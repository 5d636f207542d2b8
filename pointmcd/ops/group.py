"""Ball query, and grouping."""

from typing import Any

import torch
from torch import Tensor

from pointmcd.ops.checks import (
    check_count,
    check_index,
    check_number,
    check_one_device,
    check_one_dtype,
    check_rows,
    computable,
    wide,
)
from pointmcd.ops.dispatch import kernel
from pointmcd.ops.knn import square_distances
from pointmcd.ops.rows import as_rows, check_range, flat_rows


def ball_query(points: Tensor, centers: Tensor, radius: float, k: int) -> Tensor:
    """Return the first k points, by index, within ``radius`` of each center (PointNet++, section 3.2).

    Not differentiable. Where fewer than k are within reach the first of them fills up; where none is, the
    point nearest to the center does. A distance that is not a number, as a NaN or an infinity among the
    coordinates makes it, counts as infinite: such points are in no ball, and the nearest only where all are.

    Args:
        points: (B, N, 3) floating point, N >= 1.
        centers: (B, M, 3), the same dtype; M may be 0.
        radius: In the unit of the points; a squared distance of exactly ``radius ** 2``, which must be
            finite, is within.
        k: Size of a group, at least 1; may exceed N.

    Returns:
        (B, M, k) int64.

    Raises:
        ValueError: A shape, dtype, device or number does not fit.
    """
    check_rows("points", points, ("B", "N", 3))
    check_rows("centers", centers, (points.shape[0], "M", 3))
    check_one_dtype(points=points, centers=centers)
    check_one_device(points=points, centers=centers)
    check_count("k", k)
    check_count("the number of points", points.shape[1])
    check_number("radius", radius)
    if not 0 <= radius <= (torch.finfo(wide(points.dtype)).max / 2) ** 0.5:
        raise ValueError(f"radius must not be negative, and its square be finite, got {radius}")
    return _ball_query(computable(points.detach()), computable(centers.detach()), radius, k)


@kernel(
    "ball_query(Tensor points, Tensor centers, float radius, int k) -> Tensor",
    lambda points, centers, radius, k: centers.new_empty(*centers.shape[:2], k, dtype=torch.int64),
)
def _ball_query(points: Tensor, centers: Tensor, radius: float, k: int) -> Tensor:
    index = centers.new_empty(*centers.shape[:2], k, dtype=torch.int64)
    for part, distance in square_distances(centers, points):
        distance = distance.flatten(0, 1)
        row, column = (distance <= radius**2).nonzero(as_tuple=True)  # in order of index
        counts = torch.bincount(row, minlength=len(distance))
        position = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
        first = distance.argmin(1) if (counts == 0).any() else torch.empty_like(counts)
        first[row[position == 0]] = column[position == 0]
        found = first[:, None].repeat(1, k)
        taken = position < k
        found[row[taken], position[taken]] = column[taken]
        index[part] = found.view(index[part].shape)
    return index


def group(per_point: Tensor, per_center: Tensor | None, index: Tensor) -> Tensor:
    """Return ``per_point[index] - per_center``: the members of each group, seen from its center.

    A linear layer on f_j runs before it, once a point and not once a group member. So may one on x_j - c_m,
    as that on x_j less that on c_m; where points are near their center, that loses digits.

    Args:
        per_point: (B, N, O) floating point.
        per_center: (B, M, O), the same dtype; None: zeros.
        index: (B, M, k) int64 in [0, N).

    Returns:
        (B, M, k, O).

    Raises:
        IndexError: An index is out of range; on CUDA the device reports it, later.
        ValueError: A shape, dtype or device does not fit.
    """
    check_rows("per_point", per_point, ("B", "N", "O"))
    check_index("index", index, (per_point.shape[0], "M", "k"))
    if per_center is None:
        per_center = per_point.new_zeros(per_point.shape[0], index.shape[1], per_point.shape[2])
    check_rows("per_center", per_center, (*index.shape[:2], per_point.shape[2]))
    check_one_dtype(per_point=per_point, per_center=per_center)
    check_one_device(per_point=per_point, per_center=per_center, index=index)
    return _group(computable(per_point), computable(per_center), index).to(per_point.dtype)


@kernel(
    "group(Tensor per_point, Tensor per_center, Tensor index) -> Tensor",
    lambda per_point, per_center, index: per_point.new_empty(*index.shape, per_point.shape[2]),
)
def _group(per_point: Tensor, per_center: Tensor, index: Tensor) -> Tensor:
    check_range("index", index, per_point.shape[1])
    members = per_point.new_empty(*index.shape, per_point.shape[2])  # no view, which nobody could change
    rows = flat_rows(index, per_point.shape[1]).flatten()
    torch.index_select(as_rows(per_point), 0, rows, out=as_rows(members))
    return members.sub_(per_center[:, :, None])


@kernel(
    "group_backward(Tensor grad, Tensor index, int num_points) -> (Tensor, Tensor)",
    lambda grad, index, num_points: (
        grad.new_empty(grad.shape[0], num_points, grad.shape[3]),
        grad.new_empty(grad.shape[0], grad.shape[1], grad.shape[3]),
    ),
)
def _group_backward(grad: Tensor, index: Tensor, num_points: int) -> tuple[Tensor, Tensor]:
    batch, _, _, channels = grad.shape
    per_point = grad.new_zeros(batch * num_points, channels)
    per_point.index_add_(0, flat_rows(index, num_points).flatten(), as_rows(grad))
    return per_point.view(batch, num_points, channels), -grad.sum(2)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    per_point, _, index = inputs
    ctx.save_for_backward(index)
    ctx.num_points = per_point.shape[1]


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return *_group_backward(grad, ctx.saved_tensors[0], ctx.num_points), None


torch.library.register_autograd("pointmcd::group", _backward, setup_context=_setup)
