"""Test a checkpoint of a student or an image teacher.

Classification: overall and mean class accuracy, a table of the classes, a picture of the confusion matrix.
Part segmentation: instance and category mIoU, a table of the categories, a picture of the worst, median and
best shapes. Figures of --votes are reported beside those of one pass, never in their place.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.runner import Runner
from rich.console import Console
from rich.table import Table

from pointmcd.commands.common import add_cfg_options, make_parser, plain_errors
from pointmcd.engine import build_runner, load_config
from pointmcd.evaluation import ClassificationMetric, PartSegmentationMetric
from pointmcd.evaluation.classification import class_accuracy
from pointmcd.evaluation.part_segmentation import PROTOCOLS, CategoryResult
from pointmcd.evaluation.voting import vote
from pointmcd.files import write_json
from pointmcd.visualization import draw_confusion, draw_extremes


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("config", type=Path, help="the config that the checkpoint was trained with")
    parser.add_argument("checkpoint", type=Path, help="checkpoint (epoch_N.pth)")
    parser.add_argument("--work-dir", type=Path, help="where the report goes; default: beside the checkpoint")
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        help="of part segmentation: standard (default) or that of PointMCD's release",
    )
    parser.add_argument(
        "--votes",
        type=int,
        metavar="N",
        help="report also what the mean over N randomly scaled copies of each shape says",
    )
    parser.add_argument("--vote-seed", type=int, default=0, help="of the scales (default: %(default)s)")
    add_cfg_options(parser, "override the config, as in training")
    return parser.parse_args(argv)


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    if not args.checkpoint.is_file():
        raise FileNotFoundError(f"there is no checkpoint {args.checkpoint}")
    protocol = [f"test_evaluator.protocol={args.protocol}"] if args.protocol else []
    config = load_config(args.config, args.cfg_options + protocol)
    if config.get("test_cfg") is None:
        raise ValueError(
            f"{args.config} has no test loop: it trains without labels. tools/linear_svm.py, "
            "few_shot.py, retrieval.py and finetune.py say what its features are worth"
        )
    config.work_dir = str(args.work_dir or args.checkpoint.parent)
    config.load_from = str(args.checkpoint)
    config.resume = False
    runner = build_runner(config)
    figures: dict[str, Any] = runner.test()
    if args.votes is not None:
        metric = runner.test_evaluator.metrics[0]
        voted = vote(runner.model, runner.test_dataloader, metric, args.votes, args.vote_seed)
        figures |= {"votes": args.votes, "voted": voted}
    if is_main_process():
        report(runner, figures, Path(config.work_dir) / f"test_{args.checkpoint.stem}")


def report(runner: Runner, figures: dict[str, Any], stem: Path) -> None:
    """Print the table and the figures, and write ``<stem>.json`` and ``<stem>.png``."""
    metric, dataset = runner.test_evaluator.metrics[0], runner.test_dataloader.dataset
    console, picture, details = Console(), None, {}
    if isinstance(metric, ClassificationMetric):
        names = dataset.metainfo["classes"]
        console.print(class_table(metric.confusion, names))
        details = {"labels": metric.labels.tolist(), "predictions": metric.predictions.tolist()}
        picture = draw_confusion(metric.confusion, names)
    elif isinstance(metric, PartSegmentationMetric):
        categories = metric.categories(dataset.metainfo["classes"], dataset.metainfo["parts"])
        console.print(category_table(categories))
        np.save(stem.with_name(f"{stem.name}_parts.npy"), np.stack(metric.predictions))
        details = {
            "protocol": metric.protocol,
            "labels": metric.labels.tolist(),
            "ious": metric.ious.tolist(),
            "categories": [row._asdict() for row in categories],
        }
        picture = draw_extremes(metric, dataset)
    for name, value in figures.items():
        if name not in ("votes", "voted"):
            console.print(in_words(name, value))
    for name, value in figures.get("voted", {}).items():
        console.print(in_words(f"{name} with {figures['votes']} votes", value))
    write_json(stem.with_suffix(".json"), {**figures, **details})
    if picture is not None:
        picture.savefig(stem.with_suffix(".png"))
    console.print(f"wrote {stem}.json" + (f" and {stem}.png" if picture else ""), soft_wrap=True)


def in_words(name: str, value: float) -> str:
    """A figure in percent, but for the distances, whose names end in ``l1``."""
    words = name.replace("_", " ").replace("miou", "mIoU")
    return f"{words}: {value:.4f}" if name.endswith("_l1") else f"{words}: {value:.2f} %"


def class_table(confusion: np.ndarray, names: list[str]) -> Table:
    """A row a class: shapes, accuracy, and what it is most often taken for."""
    table = table_of("Accuracy by class", ("class", "shapes", "%", "most often taken for"))
    wrong = confusion - np.diag(np.diag(confusion))
    for row, (name, accuracy) in enumerate(zip(names, class_accuracy(confusion), strict=True)):
        most = int(wrong[row].argmax())
        taken_for = f"{names[most]} ({wrong[row, most]})" if wrong[row, most] else ""
        table.add_row(name, str(confusion[row].sum()), f"{100 * accuracy:.1f}", taken_for)
    return table


def category_table(categories: list[CategoryResult]) -> Table:
    """A row a category: shapes, mIoU, and the part that is found worst."""
    table = table_of("IoU by category", ("category", "shapes", "mIoU %", "weakest part"))
    for name, shapes, miou, parts in categories:
        weakest = min(parts, key=parts.__getitem__)
        table.add_row(name, str(shapes), f"{miou:.1f}", f"{weakest} ({parts[weakest]:.1f})")
    return table


def table_of(title: str, columns: tuple[str, str, str, str]) -> Table:
    table = Table(title=title)
    for column, justify in zip(columns, ("left", "right", "right", "left"), strict=True):
        table.add_column(column, justify=justify)
    return table
