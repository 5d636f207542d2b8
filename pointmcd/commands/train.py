"""Train what a config describes."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pointmcd.commands.common import add_cfg_options, make_parser, plain_errors
from pointmcd.commands.launch import add_launcher, join_processes


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
    from pointmcd.engine import build_runner, load_config

    config = load_config(args.config, args.cfg_options)
    config.work_dir = str(args.work_dir or Path("work_dirs") / args.config.stem)
    if args.seed is not None:
        config.randomness.seed = args.seed
    if args.amp:
        config.optim_wrapper.type = "AutocastOptimWrapper"
    if args.resume:
        config.resume = True
        config.load_from = None if args.resume is True else args.resume
    runner = build_runner(config)
    runner.train()
