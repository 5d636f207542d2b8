"""Intersection over union of part segmentation, by the standard protocol and by PointMCD's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from mmengine.evaluator import BaseMetric

from pointmcd.registry import METRICS

PROTOCOLS = ("standard", "official")


def predict_parts(
    scores: np.ndarray, category_parts: Sequence[int], protocol: str = "standard"
) -> np.ndarray:
    """The part of each point: the best score among the category's parts, or among all of them.

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
    """Intersection over union of each part of a shape's category.

    A part that the truth does not have scores 1 where it is not predicted either. Where it is predicted, it
    scores 0 by the standard protocol (Yi et al., 2016; every later table) and still 1 by ``official``, that
    of PointMCD's release.

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
    true, said = truth == parts[:, None], predicted == parts[:, None]
    if (strays := ~true.any(0)).any():
        raise ValueError(
            f"the truth holds part {truth[strays][0]}, but this category has the parts {parts.tolist()}"
        )
    union = (true | said).sum(1)
    ious = np.divide((true & said).sum(1), union, out=np.ones(len(parts)), where=union > 0)
    return np.where(true.any(1), ious, 1.0) if protocol == "official" else ious


def shape_ious(
    truths: Sequence[np.ndarray],
    predictions: Sequence[np.ndarray],
    labels: Sequence[int],
    class_parts: Sequence[Sequence[int]],
    protocol: str = "standard",
) -> np.ndarray:
    """The IoU of each shape: the mean over the parts of its category (see ``part_ious``).

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
    return np.array([part_ious(true, said, class_parts[k], protocol).mean() for true, said, k in shapes])


def mean_ious(ious: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The two means that papers quote, in percent.

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
    """Shapes worth a look: the lowest, the middle and the highest of (S,) IoUs; S >= 1.

    Returns:
        ``worst``, ``median`` and ``best``: ``each`` rows, in rising order; fewer where S < 3 ``each``.
    """
    order = ious.argsort(kind="stable").tolist()
    each = max(min(each, len(order) // 3), 1)
    middle = (len(order) - each) // 2
    return {"worst": order[:each], "median": order[middle : middle + each], "best": order[-each:]}


class CategoryResult(NamedTuple):
    """What an evaluation says of one category.

    Attributes:
        name: Of the category.
        shapes: How many the split has.
        miou: Mean over its shapes, in percent.
        part_ious: IoU of each part by name, mean over the category's shapes, in percent.
    """

    name: str
    shapes: int
    miou: float
    part_ious: dict[str, float]


@dataclass(frozen=True)
class _Shape:
    """What one shape adds to the metric; small, since the ranks send it to each other."""

    label: int
    part_ious: np.ndarray
    right: int
    predicted: np.ndarray


@METRICS.register_module()
class PartSegmentationMetric(BaseMetric):
    """Instance and category mIoU and the accuracy of points in percent, of the last state of the network,
    without voting.

    Args:
        class_parts: The parts of each category; filled in from the prepared data where a config leaves it
            None.
        protocol: ``standard``, or ``official`` for figures that compare with PointMCD's release: the best of
            all parts rather than of the category's, and 1 for a part that the truth lacks, even if predicted.

    Attributes:
        labels: (S,) categories of the last evaluation, in the order of the split.
        ious: (S,) IoU of each shape, in [0, 1].
        part_ious: S arrays, the IoU of each part of the shape's category.
        predictions: S arrays (N,) uint16, the predicted parts.
    """

    default_prefix = ""  # plain names, where MMEngine would warn of None

    def __init__(self, class_parts: Sequence[Sequence[int]], protocol: str = "standard") -> None:
        super().__init__()
        if protocol not in PROTOCOLS:
            raise ValueError(f"protocol is {protocol!r}; choose {' or '.join(PROTOCOLS)}")
        self.class_parts = [list(parts) for parts in class_parts]
        self.protocol = protocol
        self.labels, self.ious = np.zeros(0, np.int64), np.zeros(0)
        self.part_ious: list[np.ndarray] = []
        self.predictions: list[np.ndarray] = []

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Score each shape at once: ``part_scores`` (N, P), ``parts`` (N,) and the category ``label``.

        Raises:
            ValueError: The true parts were not loaded.
        """
        for sample in data_samples:
            if "parts" not in sample:
                raise ValueError(
                    "the true parts are not in the batch: set parts=True in the dataset of val_dataloader "
                    "and test_dataloader"
                )
            label, truth = int(sample["label"]), np.asarray(sample["parts"].cpu())
            parts = self.class_parts[label]
            predicted = predict_parts(sample["part_scores"].cpu().numpy(), parts, self.protocol)
            ious = part_ious(truth, predicted, parts, self.protocol)
            right = int((truth == predicted).sum())
            self.results.append(_Shape(label, ious, right, predicted.astype(np.uint16)))

    def compute_metrics(self, results: list[_Shape]) -> dict[str, float]:
        """Average once all ranks have reported."""
        self.labels = np.array([shape.label for shape in results], np.int64)
        self.part_ious = [shape.part_ious for shape in results]
        self.ious = np.array([ious.mean() for ious in self.part_ious])
        self.predictions = [shape.predicted for shape in results]
        points = sum(map(len, self.predictions))
        accuracy = 100 * sum(shape.right for shape in results) / points
        return {**mean_ious(self.ious, self.labels), "point_accuracy": accuracy}

    def categories(self, class_names: Sequence[str], part_names: Sequence[str]) -> list[CategoryResult]:
        """The last evaluation by category; categories without shapes are left out."""
        found = []
        for label in np.unique(self.labels):
            members = np.flatnonzero(self.labels == label)
            means = 100 * np.mean([self.part_ious[member] for member in members], 0)
            names = [part_names[part] for part in self.class_parts[label]]
            parts = dict(zip(names, means.tolist(), strict=True))
            found.append(CategoryResult(class_names[label], len(members), float(means.mean()), parts))
        return found
