"""Write down what an image teacher says of every shape of a prepared set, for students to learn from.

    pointmcd cache-teacher --frozen mobilenetv2_100 --data data/meshes
    pointmcd cache-teacher --frozen mobilenetv2_100 --data data/meshes --labels 20 --name mobilenetv2_20
    pointmcd cache-teacher --frozen mobilenetv2_100 --data data/unlabelled
    pointmcd cache-teacher configs/teacher_mobilenetv2_modelnet.py work_dirs/.../epoch_128.pth
    pointmcd cache-teacher configs/teacher_mobilenetv2_meshes.py work_dirs/fold{0,1,2,3,4}/epoch_10.pth
    pointmcd cache-teacher --student work_dirs/fold{0,1,2,3,4}/epoch_100.pth --data data/meshes --name points
    pointmcd cache-teacher --average frozen points --shares 0.7 0.3 --data data/meshes --name both
    pointmcd cache-teacher --image-text FOLDER --data data/meshes --name clip --text clip.npy
    pointmcd cache-teacher --check data/modelnet40/teachers/mobilenetv2

--frozen takes image networks as they come: no config, no training. What they see of all views is kept in
<data>/trunks/; a linear probe of the labelled shapes says the classes, and speaks of each labelled shape only
as one that did not learn from it (--folds). It sees no label but those of --split, --labels and
--fraction-seed, which the cache records; a student that knows others is refused the cache. With --labels 0,
and of a set without classes (prepare --unlabelled), the cache holds descriptors of the views and no classes:
what pre-training needs.

--student takes checkpoints of point networks: one, which speaks of the shapes that it was trained on too, or
K, each trained without one of K folds of the labels (train_dataloader.dataset.without_fold="(0,5)" ...), so
that each labelled shape is spoken of by one that has not seen its answer. --average takes caches of the same
labels, and prints how good each of them is beside the mean of their log-probabilities.

--image-text takes an image-text model (see pointmcd embed-text) and --weights as it does: its embeddings of
the views are kept as they are, in the space of its texts, and no label is looked at. With --text the cache
says which class each shape looks like, too, and how often that is right.

A trained teacher is given by its config and checkpoint; K checkpoints are those of K trainings, each without
one fold of the labels, as above: of these the logits alone are kept.

The cache is <data_root>/teachers/<name>/; students' configs ask for it by that name, which is by default
`frozen`, `image_text`, `student`, `average`, or the middle of the teacher's config: here mobilenetv2. Beside
the rows of a teacher that makes images lie some: examples.png.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from pointmcd.commands.common import add_cfg_options, make_parser, make_table, plain_errors
from pointmcd.commands.frozen_teacher import (
    OF_TIMM,
    add_point_arguments,
    add_trunk_arguments,
    build_trunks,
    cache_descriptors,
    cache_frozen,
)
from pointmcd.evaluation.statistics import in_words

FOR_FROZEN = {"further", "split", "labels", "fraction_seed", "weights", "input_size", "normalization"}
FOR_FROZEN |= {"trunk_options", "precision", "views", "dim", "folds", "no_spread", "regularisation"}
FOR_FROZEN |= {"point_dim", "point_count", "point_levels"}
OF_CLASSES = {"views", "split", "fraction_seed", "folds", "no_spread", "regularisation"}
"""Options of --frozen that do nothing where no class is said."""
OPTIONS = {
    "config": {"data", "name", "cfg_options"},
    "frozen": {"data", "name", *FOR_FROZEN},
    "image_text": {"data", "name", "text", "weights"},
    "student": {"data", "name"},
    "average": {"data", "name", "shares"},
    "check": set(),
}
"""What each kind of teacher takes beside itself."""


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("config", type=Path, nargs="?", help="the config that the teacher was trained with")
    parser.add_argument(
        "checkpoint",
        type=Path,
        nargs="*",
        help="checkpoint of the teacher (epoch_N.pth), or one of each fold",
    )
    parser.add_argument("--name", help="name of the cache")
    parser.add_argument(
        "--check", type=Path, metavar="FOLDER", help="read all of a cache, and compare its hashes"
    )
    add_cfg_options(parser, "override the config, as in training")
    parser.add_argument(
        "--data", type=Path, help="folder of the prepared set; of a trained teacher in its config"
    )
    frozen = parser.add_argument_group("frozen networks")
    frozen.add_argument("--frozen", nargs="+", metavar="TRUNK", help="timm networks, side by side")
    frozen.add_argument(
        "--further", type=Path, nargs="+", default=[], metavar="DATA", help="sets to ask without their labels"
    )
    frozen.add_argument("--split", choices=["train", "fit"], default="train", help="whose labels are seen")
    frozen.add_argument(
        "--labels",
        type=float,
        default=100,
        metavar="PERCENT",
        help="of each class's labels (%(default)s); 0: look at none",
    )
    frozen.add_argument("--fraction-seed", type=int, default=0, help="of which these are (%(default)s)")
    frozen.add_argument(
        "--image-text", metavar="MODEL", help="an image-text model of open_clip's, or a folder"
    )
    frozen.add_argument("--text", type=Path, metavar="FILE.npy", help="of pointmcd embed-text")
    add_trunk_arguments(frozen)
    add_point_arguments(frozen)
    points = parser.add_argument_group("point networks, and averages")
    points.add_argument(
        "--student", type=Path, nargs="+", metavar="CHECKPOINT", help="of one training, or of one a fold"
    )
    points.add_argument("--average", nargs="+", metavar="NAME", help="caches to average")
    points.add_argument("--shares", type=float, nargs="+", help="what each of them counts for (all alike)")
    args = parser.parse_args(argv)
    kinds = [name for name in OPTIONS if getattr(args, name)]
    if len(kinds) != 1:
        parser.error(
            "give one of: the config and the checkpoint of a trained teacher, --frozen TRUNK, --image-text "
            "MODEL, --student CHECKPOINT, --average NAME NAME, or --check a cache"
        )
    if args.config and not args.checkpoint:
        parser.error("the config of a trained teacher needs its checkpoint")
    (kind,) = kinds
    args.given = _given(parser, argv, args)
    for option in sorted(args.given - {kind} - OPTIONS[kind]):
        takers = [_spelt(one) for one, taken in OPTIONS.items() if option in {one, *taken}]
        parser.error(f"{_spelt(option)} is for {', '.join(takers)}, not for {_spelt(kind)}; leave it out")
    if "data" in OPTIONS[kind] and kind != "config" and args.data is None:
        parser.error(f"{_spelt(kind)} needs --data")
    return args


def _given(parser: argparse.ArgumentParser, argv: Sequence[str] | None, args: argparse.Namespace) -> set[str]:
    """Return which options were given, if only with the value that they have by default."""
    options = vars(args).keys() - {"config", "checkpoint", "cfg_options"}  # cfg_options is added to
    unset = object()
    again = vars(parser.parse_args(argv, argparse.Namespace(**dict.fromkeys(options, unset))))
    given = {name for name in options if again[name] is not unset}
    return given | ({"cfg_options"} if args.cfg_options else set())


def _spelt(option: str) -> str:
    return "a trained teacher" if option == "config" else f"--{option.replace('_', '-')}"


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    if args.check is not None:
        check(args.check)
        return
    from pointmcd.folders import check_name

    if args.name is not None:  # it is used last, after all the work
        check_name(args.name, "the name of the cache")
    if args.average:
        average(args)
        return
    more: list[Path] = []
    if args.frozen:
        (folder, *more), figures = cache_trunks(args)
    elif args.student:
        from pointmcd.evaluation.point_teacher import cache_students

        folder, figures = cache_students(args.data, args.student, args.name or "student")
    elif args.image_text:
        folder, figures = cache_texts_images(args)
    else:
        folder, figures = cache_trained(args)
    names = list(next(iter(figures.values()), {}))
    columns = [f">{in_words(name)}" + ("" if name.endswith("_l1") else " %") for name in names]
    rows = [
        (split, *(f"{values[name]:.{4 if name.endswith('_l1') else 1}f}" for name in names))
        for split, values in figures.items()
    ]
    table = [make_table("The teacher", ("split", *columns), rows)] if rows else []
    Console(markup=False).print(*table, "\n".join(f"wrote {one}" for one in (folder, *more)))


def cache_trunks(args: argparse.Namespace) -> tuple[list[Path], dict[str, dict[str, float]]]:
    """Ask frozen networks; the folders of the caches, that of ``--data`` first, and its figures by split.

    There are no figures where no label is looked at.
    """
    from pointmcd.datasets.label_choice import Labels
    from pointmcd.datasets.prepared_set import PreparedSet

    if not 0 <= args.labels <= 100:
        raise ValueError(f"--labels is {args.labels:g}, must be a percentage, 0 to 100")
    trunks, name = build_trunks(args, args.frozen), args.name or "frozen"
    if args.labels == 0 or len(PreparedSet(args.data).class_names) == 1:
        for option in sorted(args.given & OF_CLASSES):
            raise ValueError(
                f"{_spelt(option)} is for the classes, and without labels none is said; leave it out"
            )
        print("no label is looked at: the cache will hold descriptors of the views, and no classes")
        return cache_descriptors(args.data, name, trunks, args, args.further), {}
    labels = Labels(args.split, args.labels / 100, args.fraction_seed)
    return cache_frozen(args.data, name, trunks, labels, args, args.further)


def cache_texts_images(args: argparse.Namespace) -> tuple[Path, dict[str, dict[str, float]]]:
    """Ask an image-text model; the folder of its cache, and its zero-shot figures by split."""
    from mmengine.device import get_device

    from pointmcd.datasets.text_vectors import read_text_vectors
    from pointmcd.evaluation.image_text_teacher import cache_image_text
    from pointmcd.models.teachers.image_text import ImageTextModel
    from pointmcd.progress import Progress

    (weights,) = args.weights if len(args.weights) == 1 else (None,)
    text = None if args.text is None else read_text_vectors(args.text)
    model = ImageTextModel(args.image_text, None if weights == OF_TIMM else weights).to(get_device())
    with Progress() as progress:
        return cache_image_text(args.data, args.name or "image_text", model, progress.track, text)


def cache_trained(args: argparse.Namespace) -> tuple[Path, dict[str, dict[str, float]]]:
    """Ask a trained image teacher; the folder of its cache, and its figures by split."""
    from pointmcd.engine import load_config
    from pointmcd.evaluation.trained_teacher import cache_folds, load_teacher, write_cache

    for checkpoint in args.checkpoint:
        if not checkpoint.is_file():
            raise FileNotFoundError(f"there is no checkpoint {checkpoint}")
    config, name = load_config(args.config, args.cfg_options), args.name or name_of(args.config)
    if args.data is not None and args.data.resolve() != Path(config.data_root).resolve():
        raise ValueError(
            f"--data is {args.data}, but the data_root of the config is {config.data_root}, which is what a "
            f"trained teacher is asked about: give --cfg-options data_root={args.data}"
        )
    if len(args.checkpoint) > 1:
        return cache_folds(config, args.checkpoint, name)
    (checkpoint,) = args.checkpoint
    return write_cache(load_teacher(config.model, checkpoint), config, checkpoint, name)


def average(args: argparse.Namespace) -> None:
    """Write the average of caches, and show each of them beside it."""
    from pointmcd.evaluation.averaged_teacher import average_caches

    folder, figures = average_caches(args.data, args.average, args.shares, args.name or "average")
    rows = [
        (part, *(f"{parts[part]['overall_accuracy']:.1f}" for parts in figures.values()))
        for part in figures["average"]
    ]
    title = "Overall accuracy %, of the shapes that all of them speak of"
    table = make_table(title, ("split", *(f">{name}" for name in figures)), rows)
    Console(markup=False).print(table, f"wrote {folder}")


def check(folder: Path) -> None:
    """Read all of a cache, ``<data_root>/teachers/<name>``."""
    from pointmcd.datasets.teacher_cache import KIND, TeacherCache

    folder = folder.absolute()
    if folder.parent.name != KIND:
        raise ValueError(f"--check {folder} is no cache of a teacher; give DATA/{KIND}/NAME")
    if not TeacherCache(folder.parent.parent, folder.name).verify():
        raise ValueError(f"{folder} opens, but was written before hashes were recorded: write it again")
    print(f"{folder} is whole")


def name_of(config: Path) -> str:
    """Return ``mobilenetv2`` of ``teacher_mobilenetv2_modelnet.py``."""
    words = config.stem.split("_")
    return "_".join(words[1:-1]) if words[0] == "teacher" and len(words) > 2 else config.stem
