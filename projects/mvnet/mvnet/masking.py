"""Points hidden from the encoder."""

import torch
from torch import Tensor

from pointmcd import ops


def visible_points(points: Tensor, ratio: float, patches: int) -> Tensor:
    """Choose the points that the encoder is given: whole patches are dropped at random.

    A patch is what lies nearest to one of ``patches`` centres, spread by farthest point sampling. Patches are
    dropped in random order until the share ``ratio`` of the points is gone, the last one in part, so that
    every cloud of a batch keeps the same number. With ``patches=0`` single points are dropped.

    Args:
        points: (B, N, 3).
        ratio: Share of the points to drop, in [0, 1).
        patches: Number of patches, at most N.

    Returns:
        (B, M) int64 rows of the points kept, ascending; M = N - round(ratio N), at least 1.

    Raises:
        ValueError: A number is out of its range.
    """
    batch, count = points.shape[:2]
    if not 0 <= ratio < 1 or not 0 <= patches <= count:
        raise ValueError(
            f"the mask needs a ratio in [0, 1) and 0 to {count} patches, got {ratio} and {patches}"
        )
    kept = max(count - round(ratio * count), 1)
    if patches == 0:
        rank = torch.rand(batch, count, device=points.device)
    else:
        centers = points.gather(1, ops.farthest_point_sample(points, patches).unsqueeze(-1).expand(-1, -1, 3))
        nearest = torch.cdist(points, centers).argmin(-1)
        rank = torch.rand(batch, patches, device=points.device).gather(1, nearest)
        # Within the patch that is dropped in part, the points go at random too.
        rank = rank + 1e-6 * torch.rand(batch, count, device=points.device)
    return rank.argsort(1)[:, :kept].sort(1).values
