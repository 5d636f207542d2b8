"""Intersection over union of part segmentation, by the standard protocol and by PointMCD's own."""

from collections.abc import Sequence

import numpy as np

PROTOCOLS = ("standard", "official")


def predict_parts(
    scores: np.ndarray, category_parts: Sequence[int], protocol: str = "standard"
) -> np.ndarray:
    """Return the part of each point: the best score among the category's parts, or among all of them.

    Args:
        scores: (N, P) of one shape, higher is likelier.
        category_parts: The parts that a shape of this category can have.
        protocol: ``standard`` chooses among the category's parts, ``official`` among all P.

    Returns:
        (N,) int64 in [0, P).
    """
    if protocol == "official":
        return scores.argmax(1)
    return np.asarray(category_parts)[scores[:, category_parts].argmax(1)]


def part_ious(
    truth: np.ndarray, predicted: np.ndarray, category_parts: Sequence[int], protocol: str = "standard"
) -> np.ndarray:
    """Return intersection over union of each part of a shape's category.

    A part that the truth does not have scores 1 where it is not predicted either. Where it is predicted, it
    scores 0 by the standard protocol (Yi et al., 2016; every later table) and 1 by ``official``, PointMCD's
    release.

    Args:
        truth: (N,) true parts of one shape, all of them among ``category_parts``.
        predicted: (N,) predicted parts; by the official protocol they may be any.
        category_parts: The parts that a shape of this category can have.
        protocol: ``standard`` or ``official``.

    Returns:
        (len(category_parts),) float64 in [0, 1].

    Raises:
        ValueError: The protocol is not known, the lengths differ, or the truth holds another category's part.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol is {protocol!r}; choose {' or '.join(PROTOCOLS)}")
    if truth.shape != predicted.shape or truth.ndim != 1:
        raise ValueError(f"needs (N,) true and predicted parts, not {truth.shape} and {predicted.shape}")
    parts = np.asarray(category_parts)
    true, found = truth == parts[:, None], predicted == parts[:, None]
    if (strays := ~true.any(0)).any():
        raise ValueError(
            f"the truth holds part {truth[strays][0]}, but this category has the parts {parts.tolist()}"
        )
    union = (true | found).sum(1)
    ious = np.divide((true & found).sum(1), union, out=np.ones(len(parts)), where=union > 0)
    return np.where(true.any(1), ious, 1.0) if protocol == "official" else ious


def shape_ious(
    truths: Sequence[np.ndarray],
    predictions: Sequence[np.ndarray],
    labels: Sequence[int],
    class_parts: Sequence[Sequence[int]],
    protocol: str = "standard",
) -> np.ndarray:
    """Return the IoU of each shape: the mean over the parts of its category (see ``part_ious``).

    Args:
        truths: True parts (N,) of each of S shapes, which may differ in N.
        predictions: Predicted parts (N,) of each.
        labels: (S,) categories.
        class_parts: The parts of each category.
        protocol: ``standard`` or ``official``.

    Returns:
        (S,) float64 in [0, 1].
    """
    shapes = zip(truths, predictions, labels, strict=True)
    return np.array([part_ious(true, found, class_parts[k], protocol).mean() for true, found, k in shapes])


def mean_ious(ious: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the two means that papers quote, in percent.

    Args:
        ious: (S,) of each shape, in [0, 1].
        labels: (S,) categories; those without shapes do not count.

    Returns:
        ``instance_miou``, the mean over shapes, and ``category_miou``, the mean over categories of the mean
        over their shapes.
    """
    categories = [ious[labels == label].mean() for label in np.unique(labels)]
    return {"instance_miou": 100 * float(ious.mean()), "category_miou": 100 * float(np.mean(categories))}


def worst_median_best(ious: np.ndarray, each: int = 2) -> dict[str, list[int]]:
    """Return shapes worth a look: the lowest, the middle and the highest of (S,) IoUs; S >= 1.

    Returns:
        ``worst``, ``median`` and ``best``: ``each`` rows, in rising order; fewer where S < 3 ``each``.
    """
    order = ious.argsort(kind="stable").tolist()
    each = max(min(each, len(order) // 3), 1)
    middle = (len(order) - each) // 2
    return {"worst": order[:each], "median": order[middle : middle + each], "best": order[-each:]}
