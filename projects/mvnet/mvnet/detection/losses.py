"""What VoteNet is trained with (Qi et al., ICCV 2019, section 4.3 and appendix A).

Shape letters: B scenes, M seeds, P proposals, K boxes of the scene that has most; the others are padded, and
``there`` (B, K) says which are true.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def vote_loss(seeds: Tensor, votes: Tensor, boxes: Tensor, there: Tensor, margin: float) -> Tensor:
    """Mean distance, summed over the axes, from votes of seeds in a box to its centre.

    A seed in several boxes is held to the one that it votes nearest to; one in no box does not count.

    Args:
        seeds: (B, M, 3).
        votes: (B, M, 3).
        boxes: (B, K, 6).
        there: (B, K) bool.
        margin: Metres beyond a box's faces where a seed is still in it, for the noise of the points.

    Returns:
        Scalar; 0 where no seed is in a box.
    """
    center, size = boxes.unsqueeze(1).split(3, -1)
    inside = ((seeds.unsqueeze(2) - center).abs() <= size / 2 + margin).all(-1) & there.unsqueeze(1)
    apart = (votes.unsqueeze(2) - center).abs().sum(-1)
    nearest = apart.masked_fill(~inside, torch.inf).amin(-1)
    counts = inside.any(-1)
    return nearest.where(counts, 0).sum() / counts.sum().clamp(min=1)


def assign(
    clusters: Tensor, boxes: Tensor, there: Tensor, near: float = 0.3, far: float = 0.6
) -> tuple[Tensor, Tensor]:
    """Say which proposals stand for an object, and for which.

    Args:
        clusters: (B, P, 3), centres of the vote clusters.
        boxes: (B, K, 6).
        there: (B, K) bool.
        near: Metres to the nearest true centre below which a proposal stands for the object.
        far: Metres above which it stands for none.

    Returns:
        ``objectness`` (B, P) int64: 1 object, 0 none, -1 in between, which does not count; and the nearest
        box (B, P) int64.
    """
    apart = torch.cdist(clusters, boxes[..., :3], compute_mode="donot_use_mm_for_euclid_dist")
    distance, nearest = apart.masked_fill(~there.unsqueeze(1), torch.inf).min(-1)
    objectness = torch.full_like(nearest, -1)
    objectness[distance < near] = 1
    objectness[distance > far] = 0
    return objectness, nearest


def objectness_loss(logits: Tensor, objectness: Tensor) -> Tensor:
    """Return the cross-entropy of (B, P, 2) over the proposals that count; objects weigh four times."""
    weight = logits.new_tensor((0.2, 0.8))
    loss = F.cross_entropy(
        logits.flatten(0, 1), objectness.flatten(), weight, ignore_index=-1, reduction="sum"
    )
    return loss / (objectness >= 0).sum().clamp(min=1)


def center_loss(centers: Tensor, boxes: Tensor, there: Tensor, positive: Tensor) -> Tensor:
    """Return the squared Chamfer distance between proposals of objects and true centres, in both directions.

    Args:
        centers: (B, P, 3) predicted.
        boxes: (B, K, 6).
        there: (B, K) bool.
        positive: (B, P) bool, the proposals of objects.
    """
    square = (centers.unsqueeze(2) - boxes[:, None, :, :3]).square().sum(-1)
    to_truth = square.masked_fill(~there.unsqueeze(1), torch.inf).amin(2)
    to_proposals = square.amin(1)
    return mean_where(to_truth, positive) + mean_where(to_proposals, there)


def mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the values under the mask, of the same shape; 0 where it is empty."""
    return values.where(mask, 0).sum() / mask.sum().clamp(min=1)
