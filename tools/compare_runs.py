#!/usr/bin/env python
"""Compare two methods over several seeds: mean, spread, and the paired difference with its 95 % interval.

    compare_runs.py --first runs/baseline_s*/test_*.json --second runs/pointmcd_s*/test_*.json

The files are those that tools/test.py writes, one a seed, in the same order for both methods. The interval
is a bootstrap over test shapes and seeds; a difference counts where it excludes 0.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from _environment import plain_errors
from rich.console import Console
from rich.table import Table

from pointmcd.evaluation.bootstrap import paired_difference

METRICS = ("overall_accuracy", "mean_class_accuracy")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("first", "second"):
        parser.add_argument(
            f"--{name}",
            type=Path,
            nargs="+",
            required=True,
            metavar="JSON",
            help=f"reports of the {name} method",
        )
    args = parser.parse_args()
    with plain_errors():
        reports = {name: [read(path) for path in getattr(args, name)] for name in ("first", "second")}
        right = {name: correct(of_seeds) for name, of_seeds in reports.items()}
        difference = paired_difference(right["first"], right["second"])
    table = Table(title=f"{right['first'].shape[1]} shapes, {len(right['first'])} seeds, mean and spread")
    for column in ("", *(name.replace("_", " ") + " %" for name in METRICS)):
        table.add_column(column, justify="right" if column else "left")
    for name, of_seeds in reports.items():
        values = [[report[metric] for report in of_seeds] for metric in METRICS]
        table.add_row(name, *(f"{np.mean(row):.2f} ± {np.std(row, ddof=len(row) > 1):.2f}" for row in values))
    console = Console()
    console.print(table)
    console.print(
        f"second less first: {difference.mean:+.2f} points, 95 % interval {difference.low:+.2f} to "
        f"{difference.high:+.2f}: {'a clear difference' if difference.clear else 'no clear difference'}",
        soft_wrap=True,
    )


def read(path: Path) -> dict[str, Any]:
    report = json.loads(path.read_text())
    if "labels" not in report:
        raise ValueError(f"{path} is no report of tools/test.py")
    return report


def correct(reports: list[dict[str, Any]]) -> np.ndarray:
    """(R, S) right or wrong."""
    if any(report["labels"] != reports[0]["labels"] for report in reports):
        raise ValueError("these reports are not of one test split")
    return np.array([np.equal(report["labels"], report["predictions"]) for report in reports])


if __name__ == "__main__":
    main()
