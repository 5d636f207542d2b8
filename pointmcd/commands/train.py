"""Train what a config describes.

On the console are a bar, a line an epoch and, at last, what to type next; the log is in the work dir.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from pointmcd.commands.common import add_cfg_options, make_parser, next_step, plain_errors
from pointmcd.commands.launch import add_launcher, join_processes
from pointmcd.progress import Progress

if TYPE_CHECKING:
    from pointmcd.engine.runner import Runner

LABELLED = "data/meshes"
"""Stands for a set with labels, as in the README."""


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("config", type=Path, help="config file, such as configs/pointmcd_dgcnn_modelnet.py")
    parser.add_argument(
        "--work-dir", type=Path, help="logs and checkpoints; default: work_dirs/<name of the config>"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const=True,
        metavar="CHECKPOINT",
        help="go on from a checkpoint; without a value, from the newest in the work dir",
    )
    parser.add_argument(
        "--seed", type=int, help="seed of weights, order and augmentation; default: the config's (0)"
    )
    parser.add_argument(
        "--amp", action="store_true", help="mixed precision in bfloat16, on the CPU and on CUDA"
    )
    add_launcher(parser)
    add_cfg_options(
        parser,
        "override the config: data_root=data/my_set train_cfg.max_epochs=60 "
        "model.backbone.type=PointNet; an unknown key is an error",
    )
    return parser.parse_args(argv)


@plain_errors("the same command with --resume goes on from the newest checkpoint")
def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    join_processes(args.launcher)
    with Progress(Console()) as progress:
        progress.begin(f"loading {args.config.stem}")
        runner = make_runner(args)
    runner.train()
    if runner.rank == 0:
        print(closing(runner, args))


def make_runner(args: argparse.Namespace) -> Runner:
    """Return the Runner of the config, as the words change it."""
    from pointmcd.engine import build_runner, load_config
    from pointmcd.engine.work_dir import check_unfinished, newest_checkpoint

    config = load_config(args.config, args.cfg_options)
    config.work_dir = str(args.work_dir or Path("work_dirs") / args.config.stem)
    if args.seed is not None:
        config.randomness.seed = args.seed
    if args.amp:
        config.optim_wrapper.type = "AutocastOptimWrapper"
    if args.resume is True:  # with nothing to go on with, the training begins as without --resume
        config.resume = config.load_from is None or newest_checkpoint(config.work_dir)[0] is not None
        config.load_from = None if config.resume else config.load_from
    elif args.resume:
        config.resume, config.load_from = True, args.resume
    if not config.resume:
        check_unfinished(config.work_dir)
    if args.verbose:
        config.default_hooks.console = None
    return build_runner(config)


def closing(runner: Runner, args: argparse.Namespace) -> str:
    """Return what a training leaves: its last result, the checkpoint, the log, and what to type next."""
    from pointmcd.engine.console import in_figures, made_steps

    scalars = {name: one.current() for name, one in runner.message_hub.log_scalars.items()}
    metrics = {name.removeprefix("val/"): value for name, value in scalars.items() if name.startswith("val/")}
    figures = in_figures({name: value for name, value in metrics.items() if not name.endswith("time")})
    if figures:
        figures += f", {runner.val_dataloader.dataset.split_name} split"
    else:
        figures = f"loss {scalars.get('train/loss', float('nan')):.4g}"
    result = f"{figures}, epoch {runner.epoch}"
    if not made_steps(runner):
        result = f"finished already, at epoch {runner.epoch}: nothing was trained"
    checkpoint = (Path(runner.work_dir) / "last_checkpoint").read_text().strip()
    lines = {
        "result": result,
        "checkpoint": os.path.relpath(checkpoint),
        "log": os.path.relpath(runner.logger.log_file),
    }
    if words := after_training(runner, args, lines["checkpoint"]):
        options = ["--cfg-options", *args.cfg_options] if args.cfg_options and "--config" not in words else []
        lines["next"] = next_step(*words, *options)
        if words[-1] == LABELLED != str(runner.cfg.data_root):
            lines["--data"] = "any prepared set with labels and a test split"
    return "\n" + "\n".join(f"{name:<12}{line}" for name, line in lines.items())


def after_training(runner: Runner, args: argparse.Namespace, checkpoint: str) -> list[str]:
    """Return the words of the command that is next by what was trained."""
    from pointmcd.models import PointModel
    from pointmcd.models.teachers.base import ImageTeacher

    model = runner.model.module if runner.distributed else runner.model
    config = str(args.config)
    if isinstance(model, ImageTeacher):
        return ["cache-teacher", config, checkpoint]
    if runner.cfg.get("test_cfg") is not None:
        return ["test", config, checkpoint]
    if isinstance(model, PointModel):
        prepared = getattr(runner.train_dataloader.dataset, "prepared", None)
        labelled = prepared is None or "test" in prepared.splits
        data = str(runner.cfg.data_root) if labelled else LABELLED
        return ["linear-svm", checkpoint, "--config", config, "--data", data]
    return []
