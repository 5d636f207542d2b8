"""Task losses and the distances between a student's and a teacher's descriptors."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Return the cross-entropy against 1 - smoothing on the label, smoothing / (K - 1) on each other class.

    torch's own ``label_smoothing`` spreads the smoothing over all K classes, the label included; PointMCD
    over the other K - 1 (official training scripts).

    Args:
        logits: (..., K) float.
        labels: (...) int64 in [0, K), or -1: not known, counts for nothing.
        smoothing: In [0, 1).

    Returns:
        The mean over all labels that are known, a scalar; 0 where none is; float32 of half precision.
    """
    log_probs = logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))
    others = smoothing / max(logits.shape[-1] - 1, 1)
    label = log_probs.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return weighted_mean(-((1 - smoothing - others) * label + others * log_probs.sum(-1)), labels >= 0)


def weighted_mean(values: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean of values (...) by weights (...) of at least 0 (None: all alike); 0 where all are 0."""
    if weight is None:
        return values.mean()
    weight = weight.to(values.dtype)
    return (values * weight).sum() / weight.sum().clamp(min=torch.finfo(values.dtype).tiny)


def _cosine(student: Tensor, teacher: Tensor) -> Tensor:
    return 1 - F.cosine_similarity(student, teacher, dim=-1).mean()


def soft_kl(
    student: Tensor, teacher: Tensor, temperature: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Return t squared times the KL divergence of softmax(teacher / t) from softmax(student / t).

    Args:
        student: (..., K) logits or descriptors.
        teacher: The same shape.
        temperature: Above 0.
        weight: (...) what each row counts for, at least 0; None: all alike.

    Returns:
        The mean over all leading dimensions, a scalar; 0 where no row counts.
    """
    log_student = (student / temperature).log_softmax(-1)
    log_teacher = (teacher / temperature).log_softmax(-1)
    rows = F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(-1)
    return weighted_mean(rows, weight) * temperature**2


def earth_mover_distance(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean distance over which points of one cloud move to those of the other, the least there is.

    The assignment is exact, in O(P^3) on the CPU, and the gradient is that of the distance itself.

    Args:
        first: (B, P, D).
        second: The same shape.

    Returns:
        A scalar; float32 of half precision.
    """
    kind = torch.promote_types(first.dtype, torch.float32)
    first, second = first.to(kind), second.to(kind)
    costs = torch.cdist(first.detach(), second.detach()).cpu().numpy()
    chosen = np.stack([linear_sum_assignment(cost)[1] for cost in costs])
    index = torch.from_numpy(chosen).to(second.device).unsqueeze(-1).expand_as(second)
    return (first - second.gather(1, index)).norm(dim=-1).mean()


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": F.l1_loss,
    "smooth_l1": F.smooth_l1_loss,
    "mse": F.mse_loss,
    "cosine": _cosine,
    "kl": soft_kl,
}
"""Distances of student from teacher descriptors (..., D) by name, as scalars; ``l1`` is the paper's."""


def descriptor_distance(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Look up one of ``DISTANCES``.

    Raises:
        ValueError: There is none of that name.
    """
    if name not in DISTANCES:
        raise ValueError(f"distance {name!r} is not known; choose one of {', '.join(DISTANCES)}")
    return DISTANCES[name]
