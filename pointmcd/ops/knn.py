"""k nearest neighbours, exact, in any feature space."""

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
        (B, Q, k) int64, nearest first, equally near ones by index. Distances nearer to each other than the
        rounding of their sum of squares (about 1e-6 of the distance in float32) may be taken for equal or
        exchanged.

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
    points, queries = points.contiguous(), queries.contiguous()
    center = points.mean(1, keepdim=True)  # near zero the expanded square loses fewest digits
    points, queries = points - center, queries - center
    spare = min(
        k + 8, points.shape[1]
    )  # the expanded square may exchange near ones: order again by differences
    rough = torch.baddbmm(points.square().sum(-1)[:, None], queries, points.transpose(1, 2), alpha=-2)
    index = rough.topk(spare, largest=False, sorted=False).indices.sort(-1).values
    batch = torch.arange(len(points), device=points.device)[:, None, None]
    distance = (points[batch, index] - queries[:, :, None]).square_().sum(-1)
    order = torch.sort(distance, dim=-1, stable=True).indices[..., :k]
    return index.gather(-1, order)
