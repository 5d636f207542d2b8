"""A point network that learns from a frozen image network, beside the same network alone: one command.

    pointmcd distill data/meshes
    pointmcd distill data/meshes --backbone PointNet --trunk mobilenetv2_100 --labels 20 --seeds 0 1 2
    pointmcd distill data/meshes --labels 5 20 100

1. What the image network sees of all views (kept in DATA/trunks/), and a linear probe of it.
2. Does it pay? On shapes held out of train: the probe beside the student alone, and the average of what both
   say. Where the teacher is not better, the command says so, and what would make it better, and ends;
   --anyway distils nevertheless. --average takes that average as the teacher.
3. For each seed: the labelled shapes are drawn, the teacher speaks of each only as one that has not learned
   from it, and the student is trained alone and with the teacher, with as many steps. At --labels 20 the
   others of train come without their labels.
4. The table: last epoch, tested once, differences paired, 95 % intervals over shapes and seeds. The student
   of the first seed is exported to student.pth.

How much the student listens to the teacher follows from --labels, unless --recipe says it: of few labels
(below 10 %) a sharpened teacher counts most and a quarter of each batch is labelled; of all (50 % and more)
what it says of the classes counts little, at a temperature of 4, and the student learns besides what it sees
at each point. --points does that with any labels, --no-points never.

Several --labels are several such runs, each in a folder of its own, and a picture of the accuracy over the
share of the labels, without and with the teacher.

The same command goes on where it was interrupted. Any registered backbone runs by the recipe of
configs/{baseline,pointmcd}_dgcnn_meshes.py, or of the configs that are named after it; --cfg-options changes
both sides, such as train_cfg.max_epochs=40 model.backbone.k=10.
"""

import argparse
import difflib
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from pointmcd.commands.common import add_cfg_options, add_imports, check_seeds, make_parser, plain_errors
from pointmcd.commands.distillation import RECIPES, Distillation
from pointmcd.commands.distillation_teacher import teacher_title
from pointmcd.commands.frozen_teacher import add_trunk_arguments
from pointmcd.commands.launch import refuse_copies
from pointmcd.files import written_aside


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("data", type=Path, help="folder of the prepared set (pointmcd prepare)")
    add("--backbone", default="DGCNN", metavar="NAME", help="of the student (%(default)s)")
    add(
        "--trunk",
        nargs="+",
        default=["mobilenetv2_100"],
        metavar="NAME",
        help="timm networks that teach, side by side (mobilenetv2_100)",
    )
    add(
        "--labels",
        type=float,
        nargs="+",
        default=[100],
        metavar="PERCENT",
        help="of each class's labels (100)",
    )
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of weights and labelled shapes (0 1 2)")
    add("--epochs", type=int, help="of both sides; default: the config's")
    add(
        "--further",
        nargs="+",
        default=[],
        metavar="DATA",
        help="prepared sets to learn from without their labels, with as many steps as without them",
    )
    add(
        "--average",
        action="store_true",
        help="teach by the mean of what the networks and the student alone say (log-probabilities)",
    )
    add(
        "--points",
        action=argparse.BooleanOptionalAction,
        help="teach what the networks see at each point, too; default: with the recipe for all labels",
    )
    add("--recipe", choices=list(RECIPES), help="how much the teacher counts; default: by --labels")
    add("--anyway", action="store_true", help="distil where the teacher is not better, too")
    add(
        "--out",
        type=Path,
        help="folder of the runs; default: work_dirs/distill_<data>_<backbone>..._<labels>",
    )
    add_trunk_arguments(parser.add_argument_group("teacher"))
    add_imports(parser)
    add_cfg_options(parser, "override the configs, on both sides")
    return parser.parse_args(argv)


@plain_errors("the same command goes on from here")
def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    refuse_copies()
    from pointmcd.datasets.prepared_set import PreparedSet
    from pointmcd.registry import import_modules

    import_modules(args.imports)
    check_backbone(args.backbone)
    prepared = PreparedSet(args.data)
    if len(prepared.class_names) < 2:
        raise ValueError(
            f"{args.data} has no classes to tell apart. Give a set with labels of two or more, or learn "
            f"without any: pointmcd cache-teacher --frozen {args.trunk[0]} --data {args.data}, then pointmcd "
            f"train pointmcd_dgcnn_unlabelled --cfg-options data_root={args.data}"
        )
    if missing := {"train", "test"} - set(prepared.splits):
        raise ValueError(
            f"{args.data} has no split {' and '.join(sorted(missing))}, which the table needs; give it "
            "shapes to test on"
        )
    prepared.require_views()
    check_seeds(args.seeds)
    if args.average and args.further:
        raise ValueError("--average works without --further, of whose shapes the student says nothing")
    for labels in args.labels:
        if not 0 < labels <= 100:
            raise ValueError(f"--labels must be percentages above 0 and at most 100, not {labels:g}")
    results = {}
    for labels in dict.fromkeys(args.labels):
        result = Distillation(args, labels, folder_of(args, labels)).run()
        if result is not None:
            results[labels] = result
    if not results:
        raise ValueError("nothing was distilled; --anyway distils all the same")
    if len(args.labels) > 1:
        draw(args, results)


def check_backbone(name: str) -> None:
    """Refuse the name of a backbone that is not registered."""
    from pointmcd.models.backbones import PointBackbone
    from pointmcd.registry import MODELS

    kinds = MODELS.module_dict.items()
    known = sorted(key for key, kind in kinds if isinstance(kind, type) and issubclass(kind, PointBackbone))
    if name not in known:
        near = difflib.get_close_matches(name, known, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise ValueError(f"--backbone {name} is not known; {hint} (one of your own: --imports MODULE)")


def folder_of(args: argparse.Namespace, labels: float | None = None) -> Path:
    """Return the folder of the runs of one share of the labels, or of the picture of several."""
    name = f"distill_{args.data.resolve().name}_{args.backbone.lower()}"
    if args.points is not None:
        name += "_points" if args.points else "_no_points"
    name += "_average" * args.average
    if args.out is None:
        return Path("work_dirs") / (name if labels is None else f"{name}_{labels:g}")
    return args.out / f"{labels:g}" if labels is not None and len(args.labels) > 1 else args.out


def draw(args: argparse.Namespace, results: dict[float, dict[str, list[float]]]) -> None:
    """Draw the accuracy over the share of the labels, of the teacher and of the student on both sides."""
    from pointmcd.visualization.label_shares import draw_label_shares

    names = {
        "teacher": teacher_title(args),
        "alone": f"{args.backbone} alone",
        "distilled": f"{args.backbone}, distilled",
    }
    curves = {
        shown: {labels: rows[name] for labels, rows in sorted(results.items())}
        for name, shown in names.items()
    }
    path = folder_of(args) / "label_shares.png"
    with written_aside(path) as aside:
        draw_label_shares(curves).savefig(aside, format="png")
    Console().print(f"wrote {path}", soft_wrap=True)
