"""k nearest neighbours, exact, in any feature space."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ._checks import check_rows, computable
from .dispatch import kernel


def knn(points: Tensor, k: int, queries: Tensor | None = None) -> Tensor:
    """Indices of the k points nearest to each query, by Euclidean distance.

    Not differentiable. Where queries are the points themselves, each is among its own neighbours.

    Args:
        points: (B, N, C) floating point.
        k: At most N.
        queries: (B, Q, C); None: the points.

    Returns:
        (B, Q, k) int64, nearest first; equally near ones by index (on the torch backend in any order). In
        more than 8 dimensions the torch backend may take a point for another that is nearer by 1e-6 of the
        distance (float32).

    Raises:
        ValueError: A shape or dtype does not fit, or ``k`` is not in [1, N].
    """
    check_rows("points", points, ("B", "N", "C"))
    queries = points if queries is None else queries
    check_rows("queries", queries, (points.shape[0], "Q", points.shape[2]))
    if not 1 <= k <= points.shape[1]:
        raise ValueError(f"k must be in [1, {points.shape[1]}], the number of points, got {k}")
    return _knn(computable(points.detach()), computable(queries.detach()), k)


@kernel(
    "knn(Tensor points, Tensor queries, int k) -> Tensor",
    lambda points, queries, k: queries.new_empty(*queries.shape[:2], k, dtype=torch.int64),
)
def _knn(points: Tensor, queries: Tensor, k: int) -> Tensor:
    if points.shape[2] <= 8:
        index = queries.new_empty(*queries.shape[:2], k, dtype=torch.int64)
        for part, distance in square_distances(queries, points):
            index[part] = distance.topk(k, largest=False).indices
        return index
    center = points.mean(1, keepdim=True)  # near zero the expanded square loses the fewest digits
    points, queries = points - center, queries - center
    norms = points.square().sum(-1)[:, None]
    return torch.baddbmm(norms, queries, points.transpose(1, 2), alpha=-2).topk(k, largest=False).indices


def square_distances(queries: Tensor, points: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Squared distances (b, Q, N) for some clouds at a time of (B, Q, C) and (B, N, C), C small, by
    differences.

    Each tensor is overwritten by the next: on the CPU fresh memory would take longer than the arithmetic.
    """
    batch, size = queries.shape[:2]
    step = batch if queries.is_cuda else 1
    for first in range(0, batch, max(step, 1)):
        part = slice(first, first + step)
        if first == 0:
            total = queries.new_empty(step, size, points.shape[1])
            square = torch.empty_like(total)
        q, p = queries[part, :, None].unbind(-1), points[part, None].unbind(-1)
        torch.sub(q[0], p[0], out=total).square_()
        for axis in range(1, len(p)):
            total.add_(torch.sub(q[axis], p[axis], out=square).square_())
        yield part, total
