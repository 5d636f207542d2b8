"""Compare two methods over several seeds: mean, spread, and paired differences with 95 % intervals.

    compare_runs.py --first runs/baseline_s*/test_*.json --second runs/pointmcd_s*/test_*.json

The files are those that tools/test.py writes, of classification or of part segmentation, one a seed, in the
same order for both methods. The intervals are bootstraps over test shapes and seeds; a difference counts
where its interval excludes 0.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from pointmcd.commands.common import make_parser, plain_errors
from pointmcd.evaluation.bootstrap import paired_difference
from pointmcd.evaluation.spread import mean_and_std, plus_minus

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
    reports = {name: [read(path) for path in getattr(args, name)] for name in ("first", "second")}
    metrics = check(reports["first"] + reports["second"])
    scores = {name: np.stack([shape_scores(report) for report in runs]) for name, runs in reports.items()}
    labels = np.array(reports["first"][0]["labels"])
    differences = [paired_difference(scores["first"], scores["second"], by) for by in (None, labels)]
    table = Table(title=f"{len(labels)} shapes, {len(args.first)} seeds, mean and spread")
    for column in ("", *(f"{in_words(name)} %" for name in metrics)):
        table.add_column(column, justify="right" if column else "left")
    for name, runs in reports.items():
        values = [[report[metric] for report in runs] for metric in metrics]
        table.add_row(name, *(plus_minus(mean_and_std(row), 2) for row in values))
    console = Console()
    console.print(table)
    for metric, difference in zip(metrics, differences, strict=True):
        console.print(
            f"{in_words(metric)}, second less first: {difference.mean:+.2f} points, 95 % interval "
            f"{difference.low:+.2f} to {difference.high:+.2f}: "
            f"{'a clear difference' if difference.clear else 'no clear difference'}",
            soft_wrap=True,
        )


def read(path: Path) -> dict[str, Any]:
    try:
        report = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); write it again with tools/test.py") from error
    if "labels" not in report:
        raise ValueError(f"{path} is no report of tools/test.py on a student")
    return report


def check(reports: list[dict[str, Any]]) -> tuple[str, str]:
    """The metrics of the reports, all of one task, protocol and split."""
    protocols = {report.get("protocol") for report in reports}
    if len(protocols) > 1:
        tasks = sorted("classification" if name is None else f"{name} protocol" for name in protocols)
        raise ValueError(f"these reports do not compare: {' and '.join(tasks)}")
    if any(report["labels"] != reports[0]["labels"] for report in reports):
        raise ValueError("these reports are not of one test split")
    return CLASSIFICATION if protocols == {None} else PART_SEGMENTATION


def shape_scores(report: dict[str, Any]) -> np.ndarray:
    """(S,) in [0, 1]: right or wrong, or the IoU of each shape."""
    if "ious" in report:
        return np.array(report["ious"])
    return np.equal(report["labels"], report["predictions"]).astype(float)


def in_words(name: str) -> str:
    return name.replace("_", " ").replace("miou", "mIoU")
