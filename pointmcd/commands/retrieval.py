"""Retrieve shapes by frozen features: mean average precision, with and without the query in the gallery.

    pointmcd retrieval work_dirs/x_s*/epoch_60.pth --config x.py --data data/shapes --out retrieval/x.json

Each shape of the split is a query to all of the split. With the query itself in the gallery, as some
published figures have it, the first place is always right; without it is the customary measure.

"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from pointmcd.commands import frozen_features
from pointmcd.commands.common import make_table, plain_errors
from pointmcd.evaluation.retrieval import DISTANCES, AveragePrecision, average_precision
from pointmcd.evaluation.statistics import mean_and_std, plus_minus

if TYPE_CHECKING:
    from rich.table import Table

METRICS = {"without_self": "mAP % without the query", "with_self": "mAP % with the query"}


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = frozen_features.make_parser(__doc__)
    add = parser.add_argument
    add("--split", default="test", help="(test)")
    add("--distance", choices=DISTANCES, default="cosine", help="(cosine)")
    add("--l1", action="store_true", help="divide features by the sum of their magnitudes first")
    add("--out", type=Path, metavar="JSON", help="report; default: work_dirs/retrieval/<source>.json")
    return parser.parse_args(argv)


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    sets = frozen_features.read_features(args, [args.split])
    splits = [
        one.split(args.split).over_views(args.views, args.view_pool, seed) for seed, one in enumerate(sets)
    ]
    labels = splits[0].labels
    if np.bincount(labels).max() < 2:
        raise ValueError(f"no class of {args.split} has two shapes: there is nothing to retrieve")
    found = [average_precision(split.values, labels, args.distance, args.l1) for split in splits]
    frozen_features.save_picture(args, splits[0], sets[0].class_names)
    report = {
        "protocol": f"retrieval: mean average precision, {args.distance} distance, {args.split} split",
        "spread": f"standard deviation over the encoders ({len(sets)})",
        "l1_normalized": args.l1,
        "views": None if args.views is None else f"{args.view_pool} of {args.views}",
        **summary(found, labels, sets[0].class_names),
        "encoders": [
            {"features": one.about, **means(precision)} for one, precision in zip(sets, found, strict=True)
        ],
    }
    untrained = frozen_features.random_features(args, sets)
    if untrained is not None:
        split = untrained.split(args.split)
        precision = average_precision(split.values, labels, args.distance, args.l1)
        report["random_encoder"] = {"features": untrained.about, **means(precision)}
    path = frozen_features.report_path(args, "retrieval")
    frozen_features.write_report(path, report)
    console = Console(markup=False)
    by_class = report["class_average_precision"]
    console.print(
        frozen_features.class_table("Without the query, by class", by_class, labels, "mAP %"),
        encoder_table(report),
    )
    if report["queries_alone_in_their_class"]:
        console.print(
            f"{report['queries_alone_in_their_class']} queries are alone in their class; without themselves "
            "they do not count",
            soft_wrap=True,
        )
    console.print(f"feature: {sets[0].about['feature']}\nwrote {path}", soft_wrap=True)


def means(precision: AveragePrecision) -> dict[str, float]:
    """Return the mean average precision in percent."""
    return {name: 100 * float(np.nanmean(getattr(precision, name))) for name in METRICS}


def summary(found: list[AveragePrecision], labels: np.ndarray, names: list[str]) -> dict[str, Any]:
    """Return the mean and spread over the encoders, and the mean of each class."""
    of_encoders = [means(precision) for precision in found]
    without = np.mean([precision.without_self for precision in found], 0)
    by_class = {name: without[labels == label] for label, name in enumerate(names)}
    return {
        "mean_average_precision": {
            name: mean_and_std([one[name] for one in of_encoders]) for name in METRICS
        },
        "queries": len(labels),
        "queries_alone_in_their_class": int(np.isnan(without).sum()),
        "class_average_precision": {
            name: 100 * float(rows.mean()) if len(rows) > 1 else None for name, rows in by_class.items()
        },
    }


def encoder_table(report: dict[str, Any]) -> "Table":
    """Return a row an encoder, the mean, and the random encoder."""

    def row(one: dict[str, Any]) -> list[str]:
        return [str(one["features"]["source"]), *(f"{one[name]:.2f}" for name in METRICS)]

    spread = report["mean_average_precision"]
    last = [["mean", *(plus_minus(spread[name], 2) for name in METRICS)]]
    if "random_encoder" in report:
        last.append(row(report["random_encoder"]))
    columns = ("encoder", *(f">{title}" for title in METRICS.values()))
    return make_table(report["protocol"], columns, map(row, report["encoders"]), last)
