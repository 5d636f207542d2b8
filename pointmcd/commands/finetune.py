"""Fine-tune a pre-trained backbone beside training from scratch, at fractions of the labels.

    pointmcd finetune configs/baseline_pointnet_meshes.py --pretrained work_dirs/x/epoch_100.pth \\
        --out work_dirs/finetune --cfg-options data_root=data/shapes

Both sides have the recipe of the config, and at each fraction and seed the same labelled shapes. The backbone
is loaded strictly; head and all else start anew. At a fraction of the labels a run makes as many iterations
as the recipe, times that fraction or --min-share, whichever is larger (epochs are counted accordingly). Every
run is tested once, at its last epoch, and has a folder of its own; the same command goes on where it stopped.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from pointmcd.commands.common import add_cfg_options, check_seeds, make_parser, make_table, plain_errors
from pointmcd.commands.launch import refuse_copies
from pointmcd.evaluation.bootstrap import Difference, paired_difference, shape_scores
from pointmcd.evaluation.statistics import counted, in_words, mean_and_std, plus_minus
from pointmcd.files import file_sha256, read_json, write_json

if TYPE_CHECKING:
    from rich.table import Table

SIDES = ("scratch", "pretrained")
METRICS = ("overall_accuracy", "instance_miou")
CONSOLE = Console(width=max(Console().width, 100), markup=False)


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("config", type=Path, help="the recipe, a baseline_* config")
    add(
        "--pretrained",
        type=Path,
        nargs="+",
        required=True,
        metavar="CHECKPOINT",
        help="checkpoint with the same backbone: one for all seeds, or one for each",
    )
    add(
        "--fractions",
        type=float,
        nargs="+",
        default=[1, 5, 10, 20, 100],
        metavar="PERCENT",
        help="of each class's labels, one shape at least (1 5 10 20 100)",
    )
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of weights and labelled shapes (0 1 2)")
    add("--min-share", type=float, help="of the recipe's iterations (a quarter)")
    add("--out", type=Path, help="folder of the runs and the report; default: work_dirs/finetune_<config>")
    add_cfg_options(parser, "override the config, on both sides")
    return parser.parse_args(argv)


@plain_errors("the same command goes on from here")
def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    refuse_copies()
    from pointmcd.evaluation.fine_tuning import MIN_SHARE

    if args.min_share is None:
        args.min_share = MIN_SHARE
    folder = args.out or Path("work_dirs") / f"finetune_{args.config.stem}"
    check(args)
    rows = [at_fraction(args, folder, percent) for percent in dict.fromkeys(args.fractions)]
    report = {
        "protocol": "the same recipe, labelled shapes and seeds on both sides; last epoch, tested once",
        "config": str(args.config),
        "cfg_options": args.cfg_options,
        "pretrained": [str(path) for path in args.pretrained],
        "seeds": args.seeds,
        "min_share": args.min_share,
        "spread": f"standard deviation over the seeds {', '.join(map(str, args.seeds))}"
        if len(args.seeds) > 1
        else f"none: seed {args.seeds[0]} alone",
        "interval": "95 % bootstrap over test shapes and seeds of pretrained less scratch",
        "fractions": rows,
    }
    write_json(folder / "finetune.json", report)
    CONSOLE.print(table(rows))
    CONSOLE.print(f"spread: {report['spread']}; interval: {report['interval']}", soft_wrap=True)
    CONSOLE.print(f"wrote {folder}/finetune.json", soft_wrap=True)


def check(args: argparse.Namespace) -> None:
    """Refuse before anything is trained what would fail later."""
    check_seeds(args.seeds)
    if not all(0 < percent <= 100 for percent in args.fractions):
        raise ValueError(f"--fractions must be percentages above 0 and at most 100, not {args.fractions}")
    if not 0 < args.min_share <= 1:
        raise ValueError(f"--min-share is {args.min_share}, must be more than 0 and at most 1")
    if len(args.pretrained) not in (1, len(args.seeds)):
        raise ValueError(
            f"{counted(len(args.pretrained), 'checkpoint')} for {counted(len(args.seeds), 'seed')}; "
            "give one, or one for each"
        )
    for checkpoint in args.pretrained:
        if not checkpoint.is_file():
            raise FileNotFoundError(f"there is no checkpoint {checkpoint}")
    from pointmcd.evaluation.encoders import load_encoder
    from pointmcd.evaluation.fine_tuning import run_config

    config = run_config(args.config, args.cfg_options, 1.0, args.seeds[0], None, args.min_share)
    for checkpoint in dict.fromkeys(args.pretrained):
        load_encoder(config.model, checkpoint)
        note_labels(checkpoint, config.data_root)


def note_labels(checkpoint: Path, root: str) -> None:
    """Say where a backbone was trained with labels of this very set: its gain is then not all its own."""
    from pointmcd.checkpoint import read_checkpoint
    from pointmcd.datasets.prepared_set import PreparedSet
    from pointmcd.engine.agreement import config_of, statement_of

    saved = read_checkpoint(checkpoint)
    with_task = (config_of(saved).get("model") or {}).get("head") is not None
    if with_task and statement_of(saved).get("data_digest") == PreparedSet(root).digest:
        CONSOLE.print(
            f"note: {checkpoint} was trained with labels of {root}, perhaps more than it is fine-tuned with",
            soft_wrap=True,
        )


def at_fraction(args: argparse.Namespace, folder: Path, percent: float) -> dict[str, Any]:
    """Run all trainings at one fraction of the labels, and return what they come to."""
    results: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for number, seed in enumerate(args.seeds):
        checkpoint = args.pretrained[number % len(args.pretrained)]
        for side in SIDES:
            start = checkpoint if side == "pretrained" else None
            result = finished_run(args, folder / f"{side}_{percent:g}_s{seed}", percent, seed, start)
            results[side].append(result)
    metric = next(name for name in METRICS if name in results["scratch"][0])
    scores = {side: np.stack([shape_scores(one) for one in runs]) for side, runs in results.items()}
    difference = paired_difference(scores["scratch"], scores["pretrained"])
    by_side = {}
    for side, runs in results.items():
        values = [one[metric] for one in runs]
        by_side[side] = {**mean_and_std(values), "of_seeds": values}
    return {
        "percent": percent,
        "labelled_shapes": [one["labelled_shapes"] for one in results["scratch"]],
        "iterations": [one["iterations"] for one in results["scratch"]],
        "metric": metric,
        **by_side,
        "difference": {**difference._asdict(), "clear": difference.clear},
    }


def finished_run(
    args: argparse.Namespace, folder: Path, percent: float, seed: int, start: Path | None
) -> dict[str, Any]:
    """Return the result of a run, trained now unless it is there already."""
    from pointmcd.datasets.prepared_set import PreparedSet
    from pointmcd.evaluation.fine_tuning import (
        check_settings,
        digest_of_config,
        labelled_shapes,
        run_config,
        train_and_test,
    )

    config = run_config(args.config, args.cfg_options, percent / 100, seed, start, args.min_share)
    labelled = labelled_shapes(config)
    batch, epochs = config.train_dataloader.batch_size, config.train_cfg.max_epochs
    settings = {
        "config": args.config.name,
        "complete_config": digest_of_config(config),
        "cfg_options": args.cfg_options,
        "data_digest": PreparedSet(config.data_root).digest,
        "percent": percent,
        "seed": seed,
        "start_sha256": None if start is None else file_sha256(start),
        "batch_size": batch,
        "epochs": epochs,
    }
    check_settings(folder, settings)
    if (folder / "result.json").is_file():
        return read_result(folder / "result.json")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "settings.json", settings)
    iterations = epochs * (labelled // batch)
    CONSOLE.print(
        f"{folder.name}: {counted(labelled, 'labelled shape')}, {counted(iterations, 'iteration')} ...",
        soft_wrap=True,
    )
    result = {
        **train_and_test(config, folder),
        "labelled_shapes": labelled,
        "batch_size": batch,
        "epochs": epochs,
        "iterations": iterations,
    }
    write_json(folder / "result.json", result)
    return result


def read_result(path: Path) -> dict[str, Any]:
    """Return the result of a run that was done before."""
    remedy = f"delete {path.parent} to run it again"
    try:
        result = read_json(path)
        shape_scores(result)
        metrics = [result.get(name) for name in METRICS if name in result]
        numbers = [*metrics, result.get("labelled_shapes"), result.get("iterations")]
        if not metrics or not all(isinstance(number, int | float) for number in numbers):
            raise ValueError(f"{path} is damaged: a figure is missing")
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a result of a run ({error}); {remedy}") from error
    return result


def table(rows: list[dict[str, Any]]) -> "Table":
    """Return a row for each fraction."""
    title = f"{in_words(rows[0]['metric']).capitalize()} %, last epoch (* the interval excludes 0)"

    def row(one: dict[str, Any]) -> tuple[str, ...]:
        gain = Difference(*(one["difference"][name] for name in Difference._fields))
        return (
            f"{one['percent']:g}",
            f"{np.mean(one['labelled_shapes']):.0f}",
            f"{np.mean(one['iterations']):.0f}",
            *(plus_minus(one[side]) for side in SIDES),
            gain.short() + "*" * (gain.clear and gain.has_interval),
        )

    columns = (">labels %", ">shapes", ">iterations", ">scratch", ">pre-trained", ">gain (95 % interval)")
    return make_table(title, columns, map(row, rows))
