"""k nearest neighbours, exact, in any feature space."""

from collections.abc import Iterator

import torch
from torch import Tensor

from pointmcd.ops.checks import check_count, check_one_device, check_one_dtype, check_rows, computable
from pointmcd.ops.dispatch import kernel

DIRECT = 8  # up to so many dimensions differences cost no more than products
GROUP = 8


def knn(points: Tensor, k: int, queries: Tensor | None = None) -> Tensor:
    """Return indices of the k points nearest to each query, by Euclidean distance.

    Not differentiable. Where queries are the points themselves, each is among its own neighbours,
    unless more than k points are equal to it.

    Args:
        points: (B, N, C) floating point, C >= 1.
        k: At most N.
        queries: (B, Q, C) of the same dtype; Q may be 0. None: the points.

    Returns:
        (B, Q, k) int64, nearest first; equally near ones by index (on the torch backend in any order). In
        more than 8 dimensions the torch backend may take a point for another that is nearer by 1e-6 of the
        distance (float32). A distance that is not a number, as a NaN or an infinity among the coordinates
        makes it, counts as infinite: such points come last.

    Raises:
        ValueError: A shape, dtype or device does not fit, or ``k`` is not in [1, N].
    """
    check_rows("points", points, ("B", "N", "C"))
    queries = points if queries is None else queries
    check_rows("queries", queries, (points.shape[0], "Q", points.shape[2]))
    check_one_dtype(points=points, queries=queries)
    check_one_device(points=points, queries=queries)
    check_count("k", k, 1, points.shape[1], ", the number of points")
    check_count("the number of coordinates", points.shape[2])
    return _knn(computable(points.detach()), computable(queries.detach()), k)


@kernel(
    "knn(Tensor points, Tensor queries, int k) -> Tensor",
    lambda points, queries, k: queries.new_empty(*queries.shape[:2], k, dtype=torch.int64),
)
def _knn(points: Tensor, queries: Tensor, k: int) -> Tensor:
    index = queries.new_empty(*queries.shape[:2], k, dtype=torch.int64)
    for part, distance in square_distances(queries, points):
        index[part] = least(distance, k)[1]
    return index


def least(distance: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k least of each row (..., N) and their indices, least first; overwrites ``distance``."""
    size = distance.shape[-1]
    groups = size // GROUP
    if groups < 2 * k:
        return _least(distance, k)
    # of groups of columns, those k with the least minima hold the k least
    grouped = distance[..., : groups * GROUP].unflatten(-1, (GROUP, groups))
    _, best = _least(grouped.amin(-2), k)
    columns = torch.arange(size, device=distance.device)
    members = columns[: groups * GROUP : groups, None] + best[..., None, :]
    rest = columns[groups * GROUP :].expand(*distance.shape[:-1], -1)
    members = torch.cat([members.flatten(-2), rest], -1)
    values, index = _least(distance.gather(-1, members), k)
    return values, members.gather(-1, index)


def _least(distance: Tensor, k: int) -> tuple[Tensor, Tensor]:
    if k > 4:
        return distance.topk(k, largest=False)
    found = []
    for _ in range(k):  # for so few faster than topk
        found.append(distance.min(-1, keepdim=True))
        distance.scatter_(-1, found[-1].indices, torch.inf)
    values, index = zip(*found, strict=True)
    return torch.cat(values, -1), torch.cat(index, -1)


def square_distances(queries: Tensor, points: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Return squared distances (b, Q, N) for some clouds at a time of (B, Q, C) and (B, N, C).

    By differences where C is small; else less the query's own squared norm, which orders them the same. What
    is infinite or not a number is the dtype's largest number. Each tensor is overwritten by the next: on the
    CPU fresh memory would take longer than the arithmetic.
    """
    batch, size = queries.shape[:2]
    step = max(batch, 1) if queries.is_cuda else 1
    largest = torch.finfo(queries.dtype).max
    # on CUDA the question would take longer than the answer
    odd = queries.is_cuda or not bool((4 * (queries.square().sum() + points.square().sum())).isfinite())
    total = queries.new_empty(step, size, points.shape[1])
    square = torch.empty_like(total)
    for first in range(0, batch, step):
        part = slice(first, first + step)
        q, p = queries[part], points[part]
        if points.shape[2] > DIRECT:
            center = p.mean(1, keepdim=True)  # near zero the expanded square loses the fewest digits
            center = center.where(center.isfinite(), 0)
            q, p = q - center, p - center
            norms = p.square().sum(-1)[:, None]
            torch.baddbmm(norms, q, p.transpose(1, 2), alpha=-2, out=total)
        else:
            _sum_differences(q, p, total, square)
        if odd:
            total.nan_to_num_(nan=largest, posinf=largest, neginf=largest)
        yield part, total


def _sum_differences(q: Tensor, p: Tensor, total: Tensor, square: Tensor) -> None:
    q_axes, p_axes = q[:, :, None].unbind(-1), p[:, None].unbind(-1)
    torch.sub(q_axes[0], p_axes[0], out=total).square_()
    for axis in range(1, len(p_axes)):
        total.add_(torch.sub(q_axes[axis], p_axes[axis], out=square).square_())
