#!/usr/bin/env python
"""Test a checkpoint: overall and mean class accuracy, a table of the classes, a picture of the confusion
matrix.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from _environment import plain_errors
from mmengine.dist import is_main_process
from mmengine.runner import Runner
from rich.console import Console
from rich.table import Table

from pointmcd.engine import build_runner, load_config
from pointmcd.evaluation.classification import class_accuracy
from pointmcd.visualization import draw_confusion


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="the config that the checkpoint was trained with")
    parser.add_argument("checkpoint", type=Path, help="checkpoint (epoch_N.pth)")
    parser.add_argument("--work-dir", type=Path, help="where the report goes; default: beside the checkpoint")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="override the config, as in training",
    )
    return parser.parse_args()


def class_table(confusion: np.ndarray, names: list[str]) -> Table:
    """A row a class: shapes, accuracy, and what it is most often taken for."""
    table = Table(title="Accuracy by class")
    for column, justify in (
        ("class", "left"),
        ("shapes", "right"),
        ("%", "right"),
        ("most often taken for", "left"),
    ):
        table.add_column(column, justify=justify)
    wrong = confusion - np.diag(np.diag(confusion))
    for row, (name, accuracy) in enumerate(zip(names, class_accuracy(confusion), strict=True)):
        most = int(wrong[row].argmax())
        taken_for = f"{names[most]} ({wrong[row, most]})" if wrong[row, most] else ""
        table.add_row(name, str(confusion[row].sum()), f"{100 * accuracy:.1f}", taken_for)
    return table


def main() -> None:
    args = parse_args()
    with plain_errors():
        if not args.checkpoint.is_file():
            raise FileNotFoundError(f"there is no checkpoint {args.checkpoint}")
        config = load_config(args.config, args.cfg_options)
        config.work_dir = str(args.work_dir or args.checkpoint.parent)
        config.load_from = str(args.checkpoint)
        config.resume = False
        runner = build_runner(config)
    metrics = runner.test()
    if is_main_process():
        report(runner, metrics, args.checkpoint, Path(config.work_dir))


def report(runner: Runner, metrics: dict[str, float], checkpoint: Path, folder: Path) -> None:
    """Print the tables, and write ``test_<checkpoint>.json`` (with every
    prediction) and ``.png`` beside
    it.
    """
    metric = runner.test_evaluator.metrics[0]
    names = runner.test_dataloader.dataset.metainfo["classes"]
    console = Console()
    console.print(class_table(metric.confusion, names))
    for name, value in metrics.items():
        console.print(f"{name.replace('_', ' ')}: {value:.2f} %")
    stem = folder / f"test_{checkpoint.stem}"
    result = {**metrics, "labels": metric.labels.tolist(), "predictions": metric.predictions.tolist()}
    stem.with_suffix(".json").write_text(json.dumps(result))
    draw_confusion(metric.confusion, names).savefig(stem.with_suffix(".png"))
    console.print(f"wrote {stem}.json and {stem}.png")


if __name__ == "__main__":
    main()
