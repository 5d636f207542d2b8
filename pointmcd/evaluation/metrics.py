"""Metrics that configs name, each of which also says what its last evaluation found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from mmengine.dist import get_world_size
from mmengine.evaluator import BaseMetric

from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.evaluation.classification import accuracies, class_accuracy, confusion_matrix
from pointmcd.evaluation.part_segmentation import (
    PROTOCOLS,
    mean_ious,
    part_ious,
    predict_parts,
    worst_median_best,
)
from pointmcd.registry import METRICS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Rows(NamedTuple):
    """A table as plain values; a column whose name begins with ``>`` is aligned to the right."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class Metric(BaseMetric):
    """A metric that says what its last evaluation found; each part of its report may be empty.

    ``dataset`` is the split that was evaluated.
    """

    default_prefix = ""  # plain names, where MMEngine would warn of None

    def evaluate(self, size: int) -> dict[str, float]:
        """Compute the metrics over all ranks.

        Args:
            size: S, shapes of the split.

        Raises:
            ValueError: ``process`` kept nothing.
        """
        if not self.results and get_world_size() == 1:  # of several ranks one may have no shape
            raise ValueError(f"{type(self).__name__} kept nothing: its process adds to self.results")
        return super().evaluate(size)

    def details(self, dataset: PreparedShapes) -> dict[str, Any]:
        """Return plain values for a report beside the figures, such as ``labels`` (S,)."""
        return {}

    def arrays(self) -> dict[str, np.ndarray]:
        """Return arrays too large for a report, by name."""
        return {}

    def table(self, dataset: PreparedShapes) -> Rows | None:
        """Return the evaluation in rows."""
        return None

    def picture(self, dataset: PreparedShapes) -> Figure | None:
        """Return the evaluation as a picture."""
        return None


@METRICS.register_module()
class ClassificationMetric(Metric):
    """Overall and mean class accuracy in percent, of the last state of the network, without voting.

    Args:
        num_classes: K; filled in from the prepared data where a config leaves it None.

    Attributes:
        confusion: (K, K) counts of the last evaluation.
        labels: (S,) true classes of the last evaluation, in the order of the split.
        predictions: (S,) predicted ones.
        scores: (S, K) float32 probabilities, or None where the network gave none.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.confusion = np.zeros((num_classes, num_classes), np.int64)
        self.labels = self.predictions = np.zeros(0, np.int64)
        self.scores: np.ndarray | None = None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the predicted and true class of each shape, and the probabilities.

        Raises:
            ValueError: These are not finite.
        """
        for sample in data_samples:
            scores = sample["scores"].numpy(force=True) if "scores" in sample else None
            if scores is not None:
                _check_finite(scores, sample)
            self.results.append((sample["label"], sample["pred"], scores))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Count once all ranks have reported."""
        self.labels, self.predictions = np.array([row[:2] for row in results], np.int64).reshape(-1, 2).T
        scores = [row[2] for row in results]
        self.scores = None if not scores or any(row is None for row in scores) else np.stack(scores)
        self.confusion = confusion_matrix(self.labels, self.predictions, self.num_classes)
        return accuracies(self.confusion)

    def details(self, dataset: PreparedShapes) -> dict[str, Any]:
        """Return ``labels`` and ``predictions`` (S,)."""
        return {"labels": self.labels.tolist(), "predictions": self.predictions.tolist()}

    def arrays(self) -> dict[str, np.ndarray]:
        """Return ``scores`` (S, K) float32, the probabilities."""
        return {} if self.scores is None else {"scores": self.scores.astype(np.float32)}

    def table(self, dataset: PreparedShapes) -> Rows:
        """Return a row for each class: shapes, accuracy, and what it is most often taken for."""
        names = dataset.metainfo["classes"]
        wrong = self.confusion - np.diag(np.diag(self.confusion))
        rows = []
        for row, (name, accuracy) in enumerate(zip(names, class_accuracy(self.confusion), strict=True)):
            most = int(wrong[row].argmax())
            taken_for = f"{names[most]} ({wrong[row, most]})" if wrong[row, most] else ""
            rows.append((name, str(self.confusion[row].sum()), f"{100 * accuracy:.1f}", taken_for))
        return Rows("Accuracy by class", ("class", ">shapes", ">%", "most often taken for"), rows)

    def picture(self, dataset: PreparedShapes) -> Figure:
        """Return the confusion matrix."""
        from pointmcd.visualization.confusion import draw_confusion

        return draw_confusion(self.confusion, dataset.metainfo["classes"])


def _check_finite(scores: np.ndarray, sample: dict) -> None:
    """Refuse scores that are no numbers, of which the first class would be called the largest."""
    if not np.isfinite(scores).all():
        raise ValueError(
            f"what the network says of shape {int(sample['index'])} of the split is not finite; its points "
            "are not, or the weights: pointmcd prepare --check DATA finds a damaged set"
        )


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
class PartSegmentationMetric(Metric):
    """Instance and category mIoU and accuracy of points in percent, at the end and without voting.

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
            scores = sample["part_scores"].cpu().numpy()
            _check_finite(scores, sample)
            predicted = predict_parts(scores, parts, self.protocol)
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
        """Return the last evaluation by category; categories without shapes are left out."""
        found = []
        for label in np.unique(self.labels):
            members = np.flatnonzero(self.labels == label)
            means = 100 * np.mean([self.part_ious[member] for member in members], 0)
            names = [part_names[part] for part in self.class_parts[label]]
            parts = dict(zip(names, means.tolist(), strict=True))
            found.append(CategoryResult(class_names[label], len(members), float(means.mean()), parts))
        return found

    def details(self, dataset: PreparedShapes) -> dict[str, Any]:
        """Return the protocol, ``labels`` and ``ious`` (S,), and the categories."""
        return {
            "protocol": self.protocol,
            "labels": self.labels.tolist(),
            "ious": self.ious.tolist(),
            "categories": [row._asdict() for row in self._categories(dataset)],
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """Return ``parts`` (S, N) uint16, the predicted parts."""
        return {"parts": np.stack(self.predictions)}

    def table(self, dataset: PreparedShapes) -> Rows:
        """Return a row for each category: shapes, mIoU, and the part that is found worst."""
        rows = []
        for name, shapes, miou, parts in self._categories(dataset):
            weakest = min(parts, key=parts.__getitem__)
            rows.append((name, str(shapes), f"{miou:.1f}", f"{weakest} ({parts[weakest]:.1f})"))
        return Rows("IoU by category", ("category", ">shapes", ">mIoU %", "weakest part"), rows)

    def picture(self, dataset: PreparedShapes) -> Figure:
        """Return the worst, median and best shapes."""
        from pointmcd.visualization.parts import SegmentedShape, draw_parts

        shapes = []
        for rank, rows in worst_median_best(self.ious).items():
            for row in rows:
                batch, label = dataset[row], self.labels[row]
                name = dataset.names[row].rsplit("/", 1)[-1]
                title = f"{rank} · {dataset.metainfo['classes'][label]} · {name}"
                shapes.append(
                    SegmentedShape(
                        f"{title} · IoU {100 * self.ious[row]:.1f} %",
                        batch["points"][0].numpy(),
                        self.predictions[row],
                        self.class_parts[label],
                        batch["parts"][0].numpy(),
                    )
                )
        return draw_parts(shapes, dataset.metainfo["parts"], columns=len(shapes) // 3)

    def _categories(self, dataset: PreparedShapes) -> list[CategoryResult]:
        return self.categories(dataset.metainfo["classes"], dataset.metainfo["parts"])


@METRICS.register_module()
class ReconstructionMetric(Metric):
    """``reconstruction_l1``: the mean absolute error of pixels in 0..1, over all views of all shapes."""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep each shape's error."""
        self.results.extend(sample["reconstruction_l1"] for sample in data_samples)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Average once all ranks have reported."""
        return {"reconstruction_l1": float(np.mean(results))}


@METRICS.register_module()
class PixelMetric(Metric):
    """``pixel_accuracy`` and ``pixel_miou`` in percent, over all views of all shapes.

    The accuracy is that of the pixels that show a part: the background is most of an image, and easy. The
    mean IoU is over the parts that are there or predicted, counted over all pixels; a part that is predicted
    on the background is wrong.

    Args:
        num_parts: P, also the number of the background; filled in from the prepared data where a config
            leaves it None.
    """

    def __init__(self, num_parts: int) -> None:
        super().__init__()
        self.num_parts = num_parts

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the pixels of each shape, against ``data_batch['part_views']`` (B, v, H, W)."""
        for truth, sample in zip(data_batch["part_views"], data_samples, strict=True):
            shown, predicted = (parts.numpy(force=True).ravel() for parts in (truth, sample["part_views"]))
            self.results.append(confusion_matrix(shown, predicted, self.num_parts + 1))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Add up once all ranks have reported."""
        confusion = np.sum(results, 0)
        right = np.diag(confusion)[:-1]
        shown, predicted = confusion.sum(1)[:-1], confusion.sum(0)[:-1]
        union = shown + predicted - right
        iou = right[union > 0] / union[union > 0]
        return {
            "pixel_accuracy": 100 * float(right.sum() / max(shown.sum(), 1)),
            "pixel_miou": 100 * float(iou.mean()),
        }
