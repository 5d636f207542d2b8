"""Train a detector from scratch and from a pre-trained backbone, several seeds each, and compare.

    python -m projects.mvnet.tools.take_backbone projects/mvnet/configs/mvnet_srunet_builtin.py \\
        work_dirs/mvnet_srunet_builtin/epoch_20.pth work_dirs/srunet.pth
    python -m projects.mvnet.tools.compare_detection projects/mvnet/configs/detection_srunet_rooms.py \\
        --pretrained work_dirs/srunet.pth

Both sides have the recipe of the config and the same seeds. Every run is tested once, at its last epoch, and
has a folder of its own; the same command goes on where it stopped. The gain's interval counts the luck of the
test scenes and of the seeds.
"""

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from rich.console import Console

from pointmcd.commands.common import add_cfg_options, make_parser, make_table, plain_errors
from pointmcd.commands.launch import refuse_copies
from pointmcd.engine import load_config
from pointmcd.evaluation.statistics import mean_and_std, plus_minus
from pointmcd.files import file_sha256, read_json, write_json
from projects.mvnet.mvnet.detection.intervals import paired_gain, read_found

FIGURES = ("ap25", "ap50")
CONSOLE = Console(width=max(Console().width, 100), markup=False)


@plain_errors("the same command goes on from the runs that are done")
def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("config", type=Path, help="a detection_* config")
    add(
        "--pretrained", type=Path, metavar="CHECKPOINT", help="backbone to start from; without: scratch alone"
    )
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of weights, order and augmentation (0 1 2)")
    add("--out", type=Path, help="folder of the runs; default: work_dirs/compare_<config>")
    add_cfg_options(parser, "override the config, on both sides")
    args = parser.parse_args(argv)
    refuse_copies()
    if len(set(args.seeds)) < len(args.seeds):
        raise ValueError(f"--seeds {' '.join(map(str, args.seeds))}: each seed counts once; take one out")
    if args.pretrained is not None and not args.pretrained.is_file():
        raise FileNotFoundError(f"there is no checkpoint {args.pretrained}")
    folder = args.out or Path("work_dirs") / f"compare_{args.config.stem}"
    starts = {"scratch": None} | ({"pretrained": args.pretrained} if args.pretrained else {})
    results: dict[str, list[dict[str, Any]]] = {side: [] for side in starts}
    for seed in args.seeds:
        for side, start in starts.items():
            results[side].append(finished_run(args, folder / f"{side}_s{seed}", seed, start))
    report: dict[str, Any] = {}
    rows = []
    for side, runs in results.items():
        values = {name: [run[name] for run in runs] for name in FIGURES}
        spread = {name: mean_and_std(of_seeds) for name, of_seeds in values.items()}
        report[side] = {name: {**spread[name], "of_seeds": values[name]} for name in FIGURES}
        rows.append((side, *(plus_minus(spread[name]) for name in FIGURES)))
    gains = {}
    if "pretrained" in results:
        found = {side: [read_found(run) for run in runs] for side, runs in results.items()}
        gains = dict(zip(FIGURES, paired_gain(found["scratch"], found["pretrained"]), strict=True))
        report["gain"] = {name: gain._asdict() for name, gain in gains.items()}
    write_json(folder / "detection.json", {"config": str(args.config), "seeds": args.seeds, **report})
    CONSOLE.print(make_table("Boxes, %, last epoch", ("start", ">AP25", ">AP50"), rows))
    for name, gain in gains.items():
        CONSOLE.print(f"{name.upper()}, pretrained - scratch: {gain.sentence()}", soft_wrap=True)
    CONSOLE.print(f"wrote {folder}/detection.json", soft_wrap=True)


def finished_run(args: argparse.Namespace, folder: Path, seed: int, start: Path | None) -> dict[str, Any]:
    """Return the result of a run, trained now unless it is there already."""
    from pointmcd.datasets.prepared_set import PreparedSet
    from pointmcd.evaluation.fine_tuning import check_settings, train_and_test

    config = load_config(args.config, args.cfg_options)
    config.randomness.seed = seed
    config.val_dataloader = config.val_cfg = config.val_evaluator = None  # tested once, at the end
    values = config_sha256(config)
    if start is not None:
        config.custom_hooks.append({"type": "PretrainedBackboneHook", "checkpoint": str(start)})
    settings = {
        "config": args.config.name,
        "cfg_options": args.cfg_options,
        "config_sha256": values,
        "data_digest": PreparedSet(config.data_root).digest,
        "seed": seed,
        "start_sha256": None if start is None else file_sha256(start),
    }
    check_settings(folder, settings)
    noted = folder / "result.json"
    if not noted.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "settings.json", settings)
        CONSOLE.print(f"{folder.name}: {config.train_cfg.max_epochs} epochs ...", soft_wrap=True)
        write_json(noted, train_and_test(config, folder))
    result = read_json(noted)
    if not isinstance(result, dict) or not all(isinstance(result.get(name), float) for name in FIGURES):
        raise ValueError(f"{noted} is not a result of a run; delete {folder} to run it again")
    return result


def config_sha256(config: Config) -> str:
    """Return what tells a loaded config from one whose file, or a base of it, was edited meanwhile."""
    values = config.to_dict()
    values.pop("work_dir", None)  # each run has its own
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


if __name__ == "__main__":
    main()
