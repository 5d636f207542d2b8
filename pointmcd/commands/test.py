"""Test a checkpoint of a student or an image teacher.

Classification: overall and mean class accuracy, a table of the classes, a picture of the confusion matrix.
Part segmentation: instance and category mIoU, a table of the categories, a picture of the worst, median and
best shapes. Figures of --votes are reported beside those of one pass, never in their place.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pointmcd.commands.common import add_cfg_options, make_parser, make_table, plain_errors
from pointmcd.commands.launch import add_launcher, join_processes
from pointmcd.evaluation.part_segmentation import PROTOCOLS
from pointmcd.evaluation.statistics import counted, in_words, with_unit
from pointmcd.files import file_sha256, write_json

if TYPE_CHECKING:
    from mmengine.runner import Runner


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("config", type=Path, help="the config that the checkpoint was trained with")
    parser.add_argument("checkpoint", type=Path, help="checkpoint (epoch_N.pth)")
    parser.add_argument("--work-dir", type=Path, help="where the report goes; default: beside the checkpoint")
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        help="of part segmentation: standard (default) or that of PointMCD's release; where it is given, the "
        "files have it in their names",
    )
    parser.add_argument(
        "--votes",
        type=int,
        metavar="N",
        help="report also what the mean over N randomly scaled copies of each shape says",
    )
    parser.add_argument("--vote-seed", type=int, default=0, help="of the scales (default: %(default)s)")
    add_launcher(parser)
    add_cfg_options(parser, "override the config, as in training")
    return parser.parse_args(argv)


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    join_processes(args.launcher)
    from mmengine.dist import is_main_process

    from pointmcd.engine import build_runner, load_config
    from pointmcd.evaluation.voting import vote

    if not args.checkpoint.is_file():
        raise FileNotFoundError(f"there is no checkpoint {args.checkpoint}")
    protocol = [f"test_evaluator.protocol={args.protocol}"] if args.protocol else []
    config = load_config(args.config, args.cfg_options + protocol)
    if config.get("test_cfg") is None:
        raise ValueError(
            f"{args.config} has no test loop: it trains without labels. pointmcd linear-svm, "
            "few-shot, retrieval and finetune judge its features"
        )
    config.work_dir = str(args.work_dir or args.checkpoint.parent)
    config.load_from = str(args.checkpoint)
    config.resume = False
    if args.verbose:
        config.default_hooks.console = None
    runner = build_runner(config, training=False)
    figures: dict[str, Any] = runner.test()
    if args.votes is not None:
        metric = runner.test_evaluator.metrics[0]
        voted = vote(runner.model, runner.test_dataloader, metric, args.votes, args.vote_seed)
        figures |= {"votes": args.votes, "voted": voted}
    if is_main_process():
        name = "_".join(filter(None, ("test", args.checkpoint.stem, args.protocol)))
        report(runner, figures, args.checkpoint, Path(config.work_dir) / name)


def report(runner: Runner, figures: dict[str, Any], checkpoint: Path, stem: Path) -> None:
    """Print the table and the figures; write them, the picture and the arrays to files named ``stem``."""
    from rich.console import Console

    from pointmcd.evaluation.metrics import Metric

    metric, dataset = runner.test_evaluator.metrics[0], runner.test_dataloader.dataset
    console, picture, details = Console(markup=False), None, {}
    if isinstance(metric, Metric):
        details, picture = metric.details(dataset), metric.picture(dataset)
        if (table := metric.table(dataset)) is not None:
            console.print(make_table(*table))
        for name, values in metric.arrays().items():
            np.save(stem.with_name(f"{stem.name}_{name}.npy"), values)
    for name, value in figures.items():
        if name not in ("votes", "voted"):
            console.print(f"{in_words(name)}: {with_unit(name, value)}")
    for name, value in figures.get("voted", {}).items():
        console.print(f"{in_words(name)} with {counted(figures['votes'], 'vote')}: {with_unit(name, value)}")
    tested = {"checkpoint_sha256": file_sha256(checkpoint), **dataset.about}
    write_json(stem.with_suffix(".json"), {**figures, **tested, **details})
    if picture is not None:
        picture.savefig(stem.with_suffix(".png"))
    console.print(f"wrote {stem}.json" + (f" and {stem}.png" if picture else ""), soft_wrap=True)
