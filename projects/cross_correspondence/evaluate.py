"""Every evaluation of the paper, of trained networks and of the same ones with random weights.

    python -m projects.cross_correspondence.evaluate CONFIG CHECKPOINT --out work_dirs/report

Recognition by a linear SVM and retrieval, of clouds and of 1, 2, 4, 8 and 12 views; verification on test
shapes; with --part-config, part segmentation from the point network's weights (frozen, and fine-tuned)
beside the same training from scratch, at several shares of the labels. Writes report.json, and the features
as points.npz and views.npz for tools/linear_svm.py, few_shot.py and retrieval.py.
"""

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from pointmcd.commands.common import add_cfg_options, make_parser, plain_errors
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.engine import load_config
from pointmcd.evaluation.fine_tuning import train_and_test
from pointmcd.evaluation.statistics import mean_and_std, plus_minus
from pointmcd.files import file_sha256, write_json
from projects.cross_correspondence.cross_correspondence.features import load_model
from projects.cross_correspondence.cross_correspondence.part_segmentation import (
    STARTS,
    transfer_config,
)
from projects.cross_correspondence.cross_correspondence.protocols import describe, measure

PART_METRICS = ("instance_miou", "category_miou", "point_accuracy")


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("config", type=Path, help="the config that the networks were trained with")
    add("checkpoint", type=Path, help="checkpoint (epoch_N.pth)")
    add("--out", type=Path, help="folder of the report; default: beside the checkpoint")
    add("--views", type=int, nargs="+", default=[1, 2, 4, 8, 12], help="views of a shape (1 2 4 8 12)")
    add("--seeds", type=int, default=3, help="draws of views, pairs and folds, for mean and spread (3)")
    add("--part-config", type=Path, help="config of a part segmentation, such as part_segmentation_*.py")
    add("--labels", type=float, nargs="+", default=[1, 5, 100], metavar="PERCENT", help="(1 5 100)")
    add("--starts", nargs="+", choices=STARTS, default=STARTS, help="of the part segmentation (all)")
    for name, whose in (("--cfg-options", "config"), ("--part-options", "part segmentation's config")):
        add_cfg_options(parser, f"override the {whose}", name)
    return parser.parse_args(argv)


def check_numbers(args: argparse.Namespace) -> None:
    """Refuse numbers that an evaluation would fall over after its features are made.

    Raises:
        ValueError: The text names the option.
    """
    if min(args.views) < 1 or max(args.views) < 2:
        shown = " ".join(map(str, args.views))
        raise ValueError(
            f"--views is {shown}, must be 1 or more each, and one of them 2 or more: verification takes two "
            "views of a shape"
        )
    if args.seeds < 1:
        raise ValueError(f"--seeds is {args.seeds}, must be at least 1")
    if wrong := [percent for percent in args.labels if not 0 < percent <= 100]:
        raise ValueError(f"--labels holds {wrong[0]:g}, must be percent: above 0, at most 100")


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    check_numbers(args)
    console = Console(markup=False)
    out = args.out or args.checkpoint.parent / "report"
    report: dict[str, Any] = {"checkpoint": str(args.checkpoint), "seeds": args.seeds}
    config = load_config(args.config, args.cfg_options)
    report |= {"data": config.data_root, "digest": PreparedSet(config.data_root).digest}
    report["features"] = frozen_features(config, args, out)
    write_json(out / "report.json", report)
    console.print(features_table(report))
    if args.part_config is not None:
        report["part_segmentation"] = part_segmentation(config, args, out, console)
        write_json(out / "report.json", report)
        console.print(parts_table(report))
    console.print(f"wrote {out}/report.json, points.npz and views.npz", soft_wrap=True)


def frozen_features(
    config: Config, args: argparse.Namespace, out: Path
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Mean and standard deviation over seeds of every figure, with trained and with random weights."""
    found = {}
    for name, checkpoint in (("random weights", None), ("trained", args.checkpoint)):
        model = load_model(config, checkpoint)
        points, views = describe(model, config, max(args.views), str(checkpoint or name))
        runs = [measure(model, points, views, args.views, seed) for seed in range(args.seeds)]
        found[name] = {key: mean_and_std([run[key] for run in runs]) for key in runs[0]}
    points.save(out / "points.npz")
    views.save(out / "views.npz")
    return found


def part_segmentation(
    config: Config, args: argparse.Namespace, out: Path, console: Console
) -> list[dict[str, Any]]:
    """Return the metrics of each start and share of the labels, in percent."""
    rows = []
    for percent in args.labels:
        for start in args.starts:
            training = transfer_config(
                args.part_config, args.part_options, config.model.backbone, args.checkpoint, start, percent
            )
            console.print(f"part segmentation, {start}, {percent:g} % of the labels ...")
            result = train_and_test(training, out / f"{start}_{percent:g}_{identity(training, args)}")
            rows.append({"start": start, "labels": percent, **{name: result[name] for name in PART_METRICS}})
    return rows


def identity(config: Config, args: argparse.Namespace) -> str:
    """Return eight digits that identify a training, so that only the same one goes on where it stopped."""
    what = [config.to_dict(), PreparedSet(config.data_root).digest, file_sha256(args.checkpoint)]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:8]


def features_table(report: dict[str, Any]) -> Table:
    """Return a row for each figure, a column each for random and for trained weights."""
    features = report["features"]
    table = Table(title=f"Frozen features, mean and spread of {report['seeds']} draws (%, not distances)")
    table.add_column("")
    for name in features:
        table.add_column(name, justify="right")
    for key in features["trained"]:
        table.add_row(key, *(plus_minus(column[key]) for column in features.values()))
    return table


def parts_table(report: dict[str, Any]) -> Table:
    """Return a row for each start at each share of the labels."""
    table = Table(title="Part segmentation by transfer, in percent")
    for column in ("labels", "backbone", "instance mIoU", "category mIoU", "point accuracy"):
        table.add_column(column, justify="left" if column == "backbone" else "right")
    for row in report["part_segmentation"]:
        metrics = (f"{row[name]:.1f}" for name in PART_METRICS)
        table.add_row(f"{row['labels']:g} %", row["start"], *metrics)
    return table


if __name__ == "__main__":
    main()
