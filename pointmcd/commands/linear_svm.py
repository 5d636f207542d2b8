"""Train a linear SVM on frozen features of the training split, and test it.

    pointmcd linear-svm work_dirs/x_s*/epoch_60.pth --config x.py --data data/shapes --out svm/x.json
    pointmcd linear-svm random:0 random:1 random:2 --config x.py --data data/shapes --out svm/random.json
    pointmcd compare --first svm/random_run*.json --second svm/x_run*.json

Features are standardised on the training split, and C is chosen there by stratified cross-validation. A run
is one encoder with one draw of the folds: several sources make one run each, a single one --runs of them,
whose spread is then that of the folds alone. Beside the report, each run's predictions are written for
pointmcd compare.

"""

import argparse
import glob
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from pointmcd.commands import frozen_features
from pointmcd.commands.common import make_table, plain_errors
from pointmcd.evaluation.classification import accuracies, class_accuracy, confusion_matrix
from pointmcd.evaluation.linear_svm import FOLDS, GRID, linear_svm
from pointmcd.evaluation.statistics import counted, mean_and_std, plus_minus
from pointmcd.progress import track

if TYPE_CHECKING:
    from rich.table import Table

METRICS = ("overall_accuracy", "mean_class_accuracy")


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = frozen_features.make_parser(__doc__)
    add = parser.add_argument
    add("--splits", nargs=2, default=["train", "test"], metavar=("TRAIN", "TEST"), help="(train test)")
    add("--runs", type=int, default=3, help="draws of the folds, where there is one source (3)")
    add("--grid", type=float, nargs="+", default=list(GRID), metavar="C", help="values of C to choose from")
    add("--folds", type=int, default=FOLDS, help=f"folds of the cross-validation ({FOLDS})")
    add("--out", type=Path, metavar="JSON", help="report; default: work_dirs/linear_svm/<source>.json")
    return parser.parse_args(argv)


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    if args.runs < 1:
        raise ValueError(f"--runs is {args.runs}, must be at least 1")
    frozen_features.check_disjoint(args.splits, "--splits")
    sets = frozen_features.read_features(args, args.splits)
    sets = sets if len(sets) > 1 else sets * args.runs
    runs = [run(args, features, seed) for seed, features in enumerate(track(sets, "SVMs"))]
    untrained = frozen_features.random_features(args, sets)
    test = sets[0].split(args.splits[1]).over_views(args.views, args.view_pool)
    frozen_features.save_picture(args, test, sets[0].class_names)
    path = frozen_features.report_path(args, "linear_svm")
    for old in path.parent.glob(f"{glob.escape(path.stem)}_run*.json"):
        if re.fullmatch(r"\d+", old.stem.removeprefix(f"{path.stem}_run")):
            old.unlink()
    for number, one in enumerate(runs):
        frozen_features.write_report(path.with_name(f"{path.stem}_run{number}.json"), one)
    report = summary(runs, sets[0].class_names, len(args.sources))
    if untrained is not None:
        report["random_encoder"] = without_shapes(run(args, untrained, 0))
    frozen_features.write_report(path, report)
    console = Console(markup=False)
    console.print(
        frozen_features.class_table(
            "Accuracy by class, mean over the runs", report["class_accuracy"], test.labels, "%"
        )
    )
    console.print(run_table(report, runs))
    console.print(
        f"feature: {sets[0].about['feature']}\nspread: {report['spread']}\n"
        f"wrote {path} and {counted(len(runs), 'run')}",
        soft_wrap=True,
    )


def run(args: argparse.Namespace, features: Any, seed: int) -> dict[str, Any]:
    """Fit one SVM, and return what it says of the test split and how good that is."""
    train, test = (
        features.split(split).over_views(args.views, args.view_pool, seed) for split in args.splits
    )
    found = linear_svm(train.values, train.labels, test.values, seed, args.grid, args.folds)
    confusion = confusion_matrix(test.labels, found.predictions, len(features.class_names))
    return {
        **accuracies(confusion),
        "features": features.about,
        "data_digest": features.about.get("data_digest"),
        "splits": args.splits,
        "split": args.splits[1],
        "views": None if args.views is None else f"{args.view_pool} of {args.views}",
        "fold_seed": seed,
        "folds": args.folds,
        "c": found.c,
        "c_is_at_the_edge_of_the_grid": found.c in (min(args.grid), max(args.grid)),
        "cv_accuracy": {f"{c:g}": accuracy for c, accuracy in found.cv_accuracy.items()},
        "labels": test.labels.tolist(),
        "predictions": found.predictions.tolist(),
    }


def summary(runs: list[dict[str, Any]], names: list[str], sources: int) -> dict[str, Any]:
    """Return the mean and spread over the runs, and the mean accuracy of each class."""
    by_class = [
        class_accuracy(confusion_matrix(one["labels"], one["predictions"], len(names))) for one in runs
    ]
    mean = 100 * np.mean(by_class, 0)
    if sources > 1:
        spread = f"standard deviation over {sources} encoders, each with folds of its own"
    elif len(runs) > 1:
        spread = f"standard deviation over {len(runs)} draws of the folds, one encoder"
    else:
        spread = "none: one encoder, one draw of the folds"
    return {
        "protocol": "linear SVM on standardised frozen features, C by cross-validation on the training split",
        "spread": spread,
        "metrics": {name: mean_and_std([one[name] for one in runs]) for name in METRICS},
        "class_accuracy": {
            name: None if np.isnan(value) else float(value) for name, value in zip(names, mean, strict=True)
        },
        "runs": [without_shapes(one) for one in runs],
    }


def without_shapes(run: dict[str, Any]) -> dict[str, Any]:
    """Return a run without what it says of each shape."""
    return {key: value for key, value in run.items() if key not in ("labels", "predictions")}


def run_table(report: dict[str, Any], runs: list[dict[str, Any]]) -> "Table":
    """Return a row for each run, the mean, and the random encoder."""

    def row(one: dict[str, Any]) -> list[str]:
        edge = " (edge of the grid)" if one["c_is_at_the_edge_of_the_grid"] else ""
        values = (f"{one[name]:.2f}" for name in METRICS)
        return [str(one["features"]["source"]), f"{one['c']:g}{edge}", *values]

    last = [["mean", "", *(plus_minus(report["metrics"][name], 2) for name in METRICS)]]
    if "random_encoder" in report:
        last.append(row(report["random_encoder"]))
    columns = ("encoder", ">C", ">overall accuracy %", ">mean class accuracy %")
    return make_table("Linear SVM", columns, map(row, runs), last)
