"""What a training and its test left in a work dir: figures with intervals, curves, predictions."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from pointmcd.evaluation.bootstrap import Difference, paired_difference, shape_scores
from pointmcd.evaluation.statistics import wilson_interval
from pointmcd.files import read_json
from pointmcd.folders import DamagedError, open_array

MEANS = (
    ("overall_accuracy", False),
    ("mean_class_accuracy", True),
    ("instance_miou", False),
    ("category_miou", True),
)
"""Figures that have an interval, and whether they are means over classes of the mean over their shapes."""
DRAWS = 2000


@dataclass(frozen=True)
class Run:
    """One test of one checkpoint.

    Attributes:
        name: Of the folder and the checkpoint.
        path: The report of ``pointmcd test``.
        report: What it says.
        labels: (S,) int64, the class of each shape of the split.
        scores: (S,) float64 in [0, 1], right or wrong, or the IoU.
    """

    name: str
    path: Path
    report: dict[str, Any]
    labels: np.ndarray
    scores: np.ndarray

    @property
    def segments(self) -> bool:
        return "ious" in self.report

    @cached_property
    def predictions(self) -> np.ndarray | None:
        """(S,) int64, the predicted classes of a classifier."""
        return None if self.segments else np.asarray(self.report["predictions"], np.int64)

    @cached_property
    def probabilities(self) -> np.ndarray | None:
        """(S, K) float32 of a classifier."""
        return None if self.segments else self.array("scores", "float32")

    @cached_property
    def parts(self) -> np.ndarray | None:
        """(S, N) uint16, the predicted parts."""
        return self.array("parts", "uint16") if self.segments else None

    def array(self, name: str, dtype: str) -> np.ndarray | None:
        """Return (S, ...) values that ``pointmcd test`` stored beside the report; older ones lack some."""
        path = self.path.with_name(f"{self.path.stem}_{name}.npy")
        if not path.is_file():
            return None
        try:
            return open_array(path, dtype, (len(self.labels), None))
        except DamagedError as error:
            raise ValueError(str(error)) from error

    def figures(self) -> dict[str, Difference]:
        """Return each mean in percent with its 95 % interval over the test shapes."""
        found = {}
        for metric, by_class in MEANS:
            if isinstance(self.report.get(metric), int | float):
                found[metric] = interval(self.scores, self.labels if by_class else None, ious=self.segments)
        return found


def find_runs(folder: Path) -> list[Run]:
    """Return the tests in a work dir or, where it has none, in the folders in it; the newest last.

    Raises:
        ValueError: There is none, or one is damaged.
    """
    paths = sorted(folder.glob("test_*.json")) or sorted(folder.glob("*/test_*.json"))
    paths.sort(key=lambda path: path.stat().st_mtime_ns)
    if not paths:
        raise ValueError(f"{folder} holds neither a prepared set nor a test; {_way_to_a_test(folder)}")
    return [_read(path) for path in paths]


def _way_to_a_test(folder: Path) -> str:
    """Return the command that tests the newest training in a folder, or in the folders in it."""
    lasts = [*folder.glob("last_checkpoint"), *folder.glob("*/last_checkpoint")]
    lasts.sort(key=lambda path: path.stat().st_mtime_ns)
    for last in reversed(lasts):
        if configs := sorted(last.parent.glob("*.py")):
            checkpoint = last.parent / Path(last.read_text().strip()).name
            said = f"pointmcd test {configs[0]} {checkpoint}"
            return f"test a checkpoint of it first:\n{said}\npointmcd report {last.parent}"
    return f"test a checkpoint of it first:\npointmcd test CONFIG {folder}/epoch_N.pth"


def _read(path: Path) -> Run:
    try:
        report = read_json(path)
        if not isinstance(report, dict) or not isinstance(report.get("labels"), list) or not report["labels"]:
            raise ValueError("it has no labels")
        scores = shape_scores(report)
        labels = np.asarray(report["labels"])
        if labels.dtype.kind != "i" or labels.min() < 0 or not ((scores >= 0) & (scores <= 1)).all():
            raise ValueError("its labels are not classes, or its IoUs none")
        run = Run(f"{path.parent.name} {path.stem.removeprefix('test_')}", path, report, labels, scores)
        if not run.segments and np.asarray(report["predictions"]).dtype.kind != "i":
            raise ValueError("its predictions are not classes")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a report of pointmcd test on a student: {error}") from error
    return run


def interval(scores: np.ndarray, labels: np.ndarray | None = None, *, ious: bool) -> Difference:
    """Return the mean of scores (S,) in percent, with its 95 % interval over the luck of the shapes.

    Of rights and wrongs it is Wilson's, which holds for a few shapes too, else a bootstrap.

    Args:
        scores: In [0, 1].
        labels: (S,), for the mean over classes of the mean over their shapes.
        ious: They are IoUs, which no binomial law holds for, even where all are 0 or 1.
    """
    if labels is None and not ious:
        return Difference(100 * float(scores.mean()), *wilson_interval(int(scores.sum()), len(scores)))
    return paired_difference(np.zeros((1, len(scores))), scores[None], labels, samples=DRAWS)


def curves(folder: Path) -> list[dict[str, Any]]:
    """Return the learning curves of a training, from MMEngine's ``scalars.json``; a resumed one goes on.

    Returns:
        A dict a curve: ``name``, ``kind`` (``loss`` or ``figure``), ``x`` epochs and ``y`` values.
    """
    found: dict[str, dict[float, float]] = {}
    for path in sorted(folder.glob("*/vis_data/scalars.json")):
        for line in path.read_text("utf-8", errors="replace").splitlines():
            for name, at, value in _values(line):
                found.setdefault(name, {})[at] = value
    return [
        {
            "name": name,
            "kind": "loss" if name.startswith("loss") else "figure",
            "x": sorted(points),
            "y": [points[at] for at in sorted(points)],
        }
        for name, points in sorted(found.items())
    ]


def _values(line: str) -> Sequence[tuple[str, float, float]]:
    """Return (name, epoch, value) of each loss or figure in a line; of one that was cut off, none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return []
    if not isinstance(row, dict):
        return []
    at = row.get("epoch", row.get("step"))
    wanted = {
        name: value
        for name, value in row.items()
        if name.startswith("loss") or name.endswith(("accuracy", "miou", "_l1"))
    }
    if not _is_number(at) or not all(_is_number(value) for value in wanted.values()):
        return []
    return [(name, float(at), float(value)) for name, value in wanted.items()]


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and math.isfinite(value)
