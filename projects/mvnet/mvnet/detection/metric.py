"""Average precision of boxes, as VoteNet evaluates (Qi et al., ICCV 2019, section 5; PASCAL VOC's rule)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.evaluation.metrics import Metric, Rows
from pointmcd.registry import METRICS
from projects.mvnet.mvnet.boxes import box_iou

OVERLAPS = (0.25, 0.5)


class SceneResult(NamedTuple):
    """What was found in a scene, D boxes, and what there is, K boxes."""

    boxes: np.ndarray  # (D, 6)
    scores: np.ndarray  # (D,)
    classes: np.ndarray  # (D,)
    true_boxes: np.ndarray  # (K, 6)
    true_classes: np.ndarray  # (K,)


def hits(boxes: np.ndarray, scores: np.ndarray, truth: np.ndarray, overlap: float) -> np.ndarray:
    """Return which boxes found in one scene are right; all are of one class.

    From the highest score down, a box is right if its overlap with the true box that it overlaps most is
    above ``overlap`` and no box before it had that one.

    Args:
        boxes: (D, 6).
        scores: (D,); of equal ones the first comes first.
        truth: (K, 6).
        overlap: Intersection over union, exclusive.

    Returns:
        (D,) bool.
    """
    right = np.zeros(len(boxes), bool)
    if not len(truth):
        return right
    iou = box_iou(boxes, truth)
    nearest, taken = iou.argmax(axis=1), np.zeros(len(truth), bool)
    for row in np.argsort(-scores, kind="stable"):
        if iou[row, nearest[row]] > overlap and not taken[nearest[row]]:
            right[row] = taken[nearest[row]] = True
    return right


def average_precision(right: np.ndarray, scores: np.ndarray, count: int) -> float:
    """Return the area under the precision, the highest at that recall or above, over the recall.

    Args:
        right: (D,) bool, which of all boxes found are right.
        scores: (D,); of equal ones the first comes first.
        count: Of the true boxes, at least 1.

    Returns:
        In [0, 1]; at every recall that is reached, not at eleven points.
    """
    right = right[np.argsort(-scores, kind="stable")]
    return float(drawn_precision(right, np.ones((1, len(right))), np.array([count]))[0])


def drawn_precision(right: np.ndarray, times: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return the average precision of draws in which boxes come several times or not at all.

    Args:
        right: (D,) bool, by falling score.
        times: (B, D), how often each box comes in each of B draws.
        count: (B,), of the true boxes in each, at least 1.

    Returns:
        (B,) in [0, 1]; boxes that come several times stand one after the other, as if of equal score.
    """
    hit = times * right
    seen = times.cumsum(1)
    precision = np.divide(hit.cumsum(1), seen, out=np.zeros(times.shape), where=seen > 0)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return (envelope * hit).sum(1) / count


class ClassResult(NamedTuple):
    """What an evaluation says of one class; the figures have a place for each of ``OVERLAPS``."""

    label: int
    objects: int
    precision: list[float]  # average precision, percent
    recall: list[float]  # of all that was found, whatever its score; percent


class ClassBoxes(NamedTuple):
    """The D boxes found of one class in S scenes, by falling score."""

    label: int
    objects: np.ndarray  # (S,) true boxes of each scene
    scene: np.ndarray  # (D,)
    right: np.ndarray  # (O, D) bool, for each of ``OVERLAPS``


def boxes_by_class(results: Sequence[SceneResult]) -> list[ClassBoxes]:
    """Sort what was found in S scenes by class; classes that have a true box in none are left out."""
    truth = np.concatenate([scene.true_classes for scene in results])
    found = []
    for label in np.unique(truth):
        scores = [scene.scores[scene.classes == label] for scene in results]
        scene = np.repeat(np.arange(len(results)), [len(own) for own in scores])
        order = np.argsort(-np.concatenate(scores), kind="stable")
        right = [
            np.concatenate(
                [
                    hits(
                        one.boxes[one.classes == label], own, one.true_boxes[one.true_classes == label], least
                    )
                    for one, own in zip(results, scores, strict=True)
                ]
            )[order]
            for least in OVERLAPS
        ]
        objects = np.array([(one.true_classes == label).sum() for one in results])
        found.append(ClassBoxes(int(label), objects, scene[order], np.array(right)))
    return found


def class_result(found: ClassBoxes) -> ClassResult:
    """Return the figures of a class."""
    count, once = found.objects.sum(), np.ones((1, len(found.scene)))
    precision = [100 * float(drawn_precision(row, once, count[None])[0]) for row in found.right]
    recall = [100 * float(row.sum() / count) for row in found.right]
    return ClassResult(found.label, int(count), precision, recall)


@METRICS.register_module()
class BoxMetric(Metric):
    """AP25 and AP50, and recall, in percent: the mean over the classes that the split has objects of.

    Attributes:
        classes: The last evaluation by class.
        found: What it counted, from which intervals can be drawn.
    """

    def __init__(self) -> None:
        super().__init__()
        self.classes: list[ClassResult] = []
        self.found: list[ClassBoxes] = []

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep what was found in each scene and what there is.

        Raises:
            ValueError: The true boxes were not loaded.
        """
        for sample in data_samples:
            if "true_boxes" not in sample:
                raise ValueError("the true boxes are not in the batch: the dataset must be ScenesWithBoxes")
            self.results.append(SceneResult(*(sample[name] for name in SAMPLE)))

    def compute_metrics(self, results: list[SceneResult]) -> dict[str, float]:
        """Average once all ranks have reported.

        Raises:
            ValueError: No scene has a box.
        """
        # MMEngine makes plain tuples of them
        self.found = boxes_by_class([SceneResult(*row) for row in results])
        self.classes = [class_result(one) for one in self.found]
        if not self.classes:
            raise ValueError("none of the scenes has a box: there is nothing to find")
        figures = {}
        for name, field in (("ap", "precision"), ("recall", "recall")):
            for place, overlap in enumerate(OVERLAPS):
                values = [getattr(one, field)[place] for one in self.classes]
                figures[f"{name}{100 * overlap:.0f}"] = float(np.mean(values))
        return figures

    def details(self, dataset: PreparedShapes) -> dict[str, Any]:
        """Return ``classes``: objects, AP and recall of each; and ``found``, the fields of ``ClassBoxes``."""
        names = dataset.metainfo["box_classes"]
        found = [
            {
                "label": one.label,
                "objects": one.objects.tolist(),
                "scene": one.scene.tolist(),
                "right": one.right.astype(int).tolist(),
            }
            for one in self.found
        ]
        classes = [{"name": names[one.label], **one._asdict()} for one in self.classes]
        return {"classes": classes, "found": found}

    def table(self, dataset: PreparedShapes) -> Rows:
        """Return a row for each class."""
        names = dataset.metainfo["box_classes"]
        rows = [
            (names[one.label], str(one.objects), *(f"{value:.1f}" for value in (*one.precision, *one.recall)))
            for one in self.classes
        ]
        columns = ("class", ">objects", ">AP25", ">AP50", ">recall 25", ">recall 50")
        return Rows("Boxes by class, %", columns, rows)


SAMPLE = ("boxes", "box_scores", "box_classes", "true_boxes", "true_classes")
"""Keys of a prediction, in the order of ``SceneResult``."""
