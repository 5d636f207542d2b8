"""What the tools for frozen features share: where features come from, and where reports go."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pointmcd.commands import common
from pointmcd.datasets.label_choice import PARTS_OF_TRAIN
from pointmcd.evaluation.features import KINDS, VIEW_POOLS, Features, FeatureSet
from pointmcd.files import check_writable, file_sha256, write_json
from pointmcd.visualization.embedding import METHODS, draw_embedding

if TYPE_CHECKING:
    from mmengine.config import Config
    from rich.table import Table

    from pointmcd.models import PointModel

SOURCES = """\
A source is one of
  features.npz       what pointmcd extract-features wrote
  epoch_100.pth      a checkpoint of any model of the toolbox, with --config
  student.pth        an exported student, with --data
  random:0           the backbone of --config with random weights of that seed, batch norms as they start
  teacher:NAME       the view descriptors of a cached teacher, with --data or --config
"""


def make_parser(doc: str | None, many: bool = True, pictures: bool = True) -> argparse.ArgumentParser:
    """Make the parser of a command, with the arguments that say which features.

    Args:
        doc: The command's docstring.
        many: It takes several sources.
        pictures: It draws features in two dimensions.
    """
    parser = common.make_parser(f"{doc}{SOURCES}")
    add = parser.add_argument
    sources = "one an encoder (of the same method: its seeds); see above" if many else "see above"
    add("sources", nargs="+" if many else 1, metavar="SOURCE", help=sources)
    add("--config", type=Path, help="the config that the checkpoints were trained with")
    add("--data", help="prepared set to evaluate on; default: the config's data_root")
    add("--feature", choices=list(KINDS), help="what is taken of an encoder (max)")
    add("--num-points", type=int, help="points of a shape; default: as in training")
    common.add_cfg_options(parser)
    common.add_imports(parser)
    if many:
        add("--no-random", action="store_true", help="leave out the figure of the same network untrained")
    add("--views", type=int, help="views drawn of each shape, where each has a feature (all)")
    add("--view-pool", choices=VIEW_POOLS, default="max", help="how views are pooled (max)")
    if pictures:
        add("--picture", type=Path, metavar="PNG", help="draw the features in two dimensions")
        add("--picture-method", choices=METHODS, default="pca")
    return parser


def save_picture(args: argparse.Namespace, features: Features, class_names: Sequence[str]) -> None:
    """Draw the picture that ``--picture`` asks for, if it does."""
    if args.picture is not None:
        args.picture.parent.mkdir(parents=True, exist_ok=True)
        figure = draw_embedding(features.values, features.labels, class_names, args.picture_method)
        figure.savefig(args.picture)


def read_features(args: argparse.Namespace, splits: Sequence[str] | None = None) -> list[FeatureSet]:
    """Return the features of every source, all of the same shapes.

    Args:
        args: Of `make_parser`.
        splits: Which splits; None takes all that there are.

    Raises:
        ValueError: The sources are of different shapes, one is given twice, ``--out`` is one of them, or an
            option does not apply to them.
    """
    if args.out is not None:
        check_writable(args.out, *args.sources)
    if twice := [source for source in args.sources if args.sources.count(source) > 1]:
        raise ValueError(f"{twice[0]} is given twice; a source is one encoder")
    if all(source.endswith(".npz") for source in args.sources):
        for name in ("config", "data", "feature", "num_points"):
            if getattr(args, name) is not None:
                option = f"--{name.replace('_', '-')}"
                raise ValueError(f"{option} is for encoders; files of features hold what was extracted")
    args.feature = args.feature or "max"
    sets = [_read(args, source, splits) for source in args.sources]
    for source, features in zip(args.sources, sets, strict=True):
        for split in splits or sets[0].splits:
            if _shapes(features, split) != _shapes(sets[0], split):
                raise ValueError(f"{source} and {args.sources[0]} are of different {split} shapes")
    if len({features.about.get("data_digest") for features in sets} - {None}) > 1:
        raise ValueError(f"{' and '.join(args.sources)} are of different sets")
    return sets


def _shapes(features: FeatureSet, split: str) -> tuple[list[int], list[str], list[str]]:
    found = features.split(split)
    return found.labels.tolist(), list(found.names), features.class_names


def check_disjoint(splits: Sequence[str], option: str) -> None:
    """Refuse splits that share shapes: one twice, or train beside a part of it."""
    for first, second in combinations(splits, 2):
        if first == second or ("train" in (first, second) and {first, second} & set(PARTS_OF_TRAIN)):
            raise ValueError(f"{option} {' '.join(splits)}: {first} and {second} share shapes")


def _read(args: argparse.Namespace, source: str, splits: Sequence[str] | None) -> FeatureSet:
    if source.endswith(".npz"):
        features = FeatureSet.load(source)
        features.about.setdefault("source", source)  # a file of one's own need not say it
        return features
    from pointmcd.datasets.prepared_set import PreparedSet
    from pointmcd.evaluation.encoders import teacher_features

    config = _config(args)
    root = args.data or (config and config.data_root)
    if root is None:
        raise ValueError(f"{source} does not name the data: give --data or --config")
    prepared = PreparedSet(root)
    splits = splits or prepared.splits
    about: dict[str, Any] = {"source": source, "data": str(root), "data_digest": prepared.digest}
    kind, _, name = source.partition(":")
    if kind == "teacher" and name:
        about["feature"] = f"view descriptors of the teacher {name}"
        described = {split: teacher_features(root, name, split) for split in splits}
        return FeatureSet(described, prepared.class_names, about)
    model, num_points, inputs = _encoder(args, source, config)
    about |= {
        "feature": KINDS[args.feature],
        "config": None if args.config is None else str(args.config),
        "num_points": args.num_points or num_points,
    }
    if inputs:
        about["inputs"] = list(inputs)
    if Path(source).is_file():
        about["checkpoint_sha256"] = file_sha256(Path(source))
    return FeatureSet(_extract(args, model, about, splits), prepared.class_names, about)


def random_features(args: argparse.Namespace, sets: Sequence[FeatureSet]) -> FeatureSet | None:
    """Return features of the same network with random weights (seed 0), to read each figure beside.

    Args:
        args: As ``read_features``.
        sets: What it found.

    Returns:
        The features of the first source that is a trained network; None without one or with ``--no-random``.
    """
    from pointmcd.evaluation.encoders import build_encoder

    for source, found in zip(args.sources, sets, strict=False):
        if args.no_random or "checkpoint_sha256" not in found.about or source.endswith(".npz"):
            continue
        config = _config(args)
        if config is None:
            from pointmcd.apis.student import load_student
            from pointmcd.checkpoint import read_checkpoint

            load_student(
                source, imports=args.imports
            )  # which checks the settings before anything is built of them
            settings = read_checkpoint(source)["model"]
        else:
            settings = config.model
        about = {**found.about, "source": "random:0"}
        del about["checkpoint_sha256"]
        model = build_encoder(settings, args.feature == "descriptor", 0)
        return FeatureSet(_extract(args, model, about, list(found.splits)), found.class_names, about)
    return None


def _config(args: argparse.Namespace) -> Config | None:
    """Return the config that ``--config`` names."""
    if args.config is None:
        return None
    from pointmcd.engine import load_config

    options = [*args.cfg_options, *([] if args.data is None else [f"data_root={args.data}"])]
    return load_config(args.config, options)


def _extract(
    args: argparse.Namespace, model: PointModel, about: dict[str, Any], splits: Sequence[str]
) -> dict[str, Features]:
    from mmengine.device import get_device

    from pointmcd.datasets.prepared_shapes import PreparedShapes
    from pointmcd.evaluation.encoders import extract

    model.to(get_device())
    inputs = about.get("inputs", ())
    return {
        split: extract(
            model,
            PreparedShapes(
                about["data"],
                split,
                about["num_points"],
                normals="normals" in inputs,
                colors="colors" in inputs,
            ),
            args.feature,
            progress=True,
        )
        for split in splits
    }


def _encoder(
    args: argparse.Namespace, source: str, config: Config | None
) -> tuple[PointModel, int, Sequence[str]]:
    """Return the encoder, how many points it looks at, and what it sees of them beside x, y, z."""
    from pointmcd.apis.student import load_student
    from pointmcd.apis.student_file import FORMAT
    from pointmcd.checkpoint import read_checkpoint
    from pointmcd.evaluation.encoders import build_encoder, inputs_seen, load_encoder, points_seen

    kind, _, seed = source.partition(":")
    random = kind == "random" and seed.isdigit()
    if not random and not Path(source).is_file():
        raise FileNotFoundError(f"there is no {source}; a source is a file, random:SEED or teacher:NAME")
    if not random and config is None and read_checkpoint(source).get("format") == FORMAT:
        student = load_student(source, imports=args.imports)
        return student.model, student.num_points, student.inputs
    if config is None:
        raise ValueError(f"{source} needs --config, the config of its training")
    with_head = args.feature == "descriptor"
    if random:
        return build_encoder(config.model, with_head, int(seed)), points_seen(config), inputs_seen(config)
    return load_encoder(config.model, source, with_head), points_seen(config), inputs_seen(config)


def report_path(args: argparse.Namespace, tool: str) -> Path:
    """Return where a report goes: ``--out``, or work_dirs/<tool>/<source>.json."""
    if args.out is not None:
        return args.out
    words = Path(args.sources[0].replace(":", "_"))
    return Path("work_dirs") / tool / f"{'_'.join((*words.parts[-2:-1], words.stem))}.json"


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write a report; a reader sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, report)


def class_table(title: str, values: Mapping[str, float | None], labels: np.ndarray, column: str) -> Table:
    """Return a row for each class: its shapes and its value in percent.

    Args:
        title: Of the table.
        values: By the class's name, in the order of the labels.
        labels: (S,) classes of the shapes that were asked about.
        column: What the values are.
    """
    counts = np.bincount(labels, minlength=len(values))
    rows = [
        (name, str(count), "" if value is None else f"{value:.1f}")
        for count, (name, value) in zip(counts, values.items(), strict=True)
    ]
    return common.make_table(title, ("class", ">shapes", f">{column}"), rows)
