"""Compare two methods over several seeds: mean, spread, and paired differences with 95 % intervals.

    pointmcd compare --first runs/baseline_s*/test_*.json --second runs/pointmcd_s*/test_*.json

The files are those that pointmcd test writes, of classification or of part segmentation, one a seed, in the
same order for both methods. The intervals are bootstraps over test shapes and seeds; a difference counts
where its interval excludes 0.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from pointmcd.commands.common import make_parser, make_table, plain_errors
from pointmcd.evaluation.bootstrap import paired_difference, shape_scores
from pointmcd.evaluation.statistics import counted, in_words, mean_and_std, plus_minus
from pointmcd.files import read_json

# Of each task the mean over shapes, then the mean over classes.
CLASSIFICATION = ("overall_accuracy", "mean_class_accuracy")
PART_SEGMENTATION = ("instance_miou", "category_miou")


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    for name in ("first", "second"):
        parser.add_argument(
            f"--{name}",
            type=Path,
            nargs="+",
            required=True,
            metavar="JSON",
            help=f"reports of the {name} method",
        )
    args = parser.parse_args(argv)
    for name in ("first", "second"):
        paths = [path.resolve() for path in getattr(args, name)]
        if twice := sorted({str(path) for path in paths if paths.count(path) > 1}):
            raise ValueError(f"--{name} has {twice[0]} twice; give one report a seed")
    reports = {name: [read(path) for path in getattr(args, name)] for name in ("first", "second")}
    metrics = check(reports["first"] + reports["second"])
    scores = {name: np.stack([shape_scores(report) for report in runs]) for name, runs in reports.items()}
    labels = np.array(reports["first"][0]["labels"])
    differences = [paired_difference(scores["first"], scores["second"], by) for by in (None, labels)]
    rows = [
        (name, *(plus_minus(mean_and_std([report[metric] for report in runs]), 2) for metric in metrics))
        for name, runs in reports.items()
    ]
    console = Console(markup=False)
    console.print(
        make_table(
            f"{counted(len(labels), 'shape')}, {counted(len(args.first), 'seed')}, mean and spread",
            ("", *(f">{in_words(name)} %" for name in metrics)),
            rows,
        )
    )
    for metric, difference in zip(metrics, differences, strict=True):
        console.print(f"{in_words(metric)}, second less first: {difference.sentence(2)}", soft_wrap=True)


def read(path: Path) -> dict[str, Any]:
    report = read_json(path)
    if not isinstance(report, dict) or not isinstance(report.get("labels"), list) or not report["labels"]:
        raise ValueError(f"{path} is not a report of pointmcd test on a student")
    if not any(isinstance(report.get(one), int | float) for one in CLASSIFICATION + PART_SEGMENTATION):
        raise ValueError(f"{path} is not a report of pointmcd test on a student: it has no figures")
    try:
        shape_scores(report)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return report


def check(reports: list[dict[str, Any]]) -> tuple[str, str]:
    """Return the metrics of the reports, all of one task, protocol and split."""
    protocols = {report.get("protocol") for report in reports}
    if len(protocols) > 1:
        tasks = sorted("classification" if name is None else f"{name} protocol" for name in protocols)
        raise ValueError(f"these reports cannot be compared: {' and '.join(tasks)}")
    for what, name in (("sets", "data_digest"), ("splits", "split")):  # older reports do not say
        if len({report.get(name) for report in reports} - {None}) > 1:
            raise ValueError(f"these reports are of different {what}")
    if any(report["labels"] != reports[0]["labels"] for report in reports):
        raise ValueError("these reports are of different test splits")
    metrics = CLASSIFICATION if protocols == {None} else PART_SEGMENTATION
    for metric in metrics:
        if not all(isinstance(report.get(metric), int | float) for report in reports):
            raise ValueError(f"one of these reports has no {in_words(metric)}")
    return metrics
