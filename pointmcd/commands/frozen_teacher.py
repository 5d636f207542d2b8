"""What ``cache-teacher --frozen`` and ``distill`` share: frozen networks by the words of a command."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from pointmcd.commands.frozen_checks import check_numbers, check_sets
from pointmcd.evaluation.statistics import counted
from pointmcd.progress import Progress

if TYPE_CHECKING:
    from pointmcd.datasets.label_choice import Labels
    from pointmcd.datasets.trunk_features import TrunkFeatures
    from pointmcd.models.teachers.frozen import FrozenTrunk

OF_TIMM, RANDOM = "timm", "random"
POINT_LEVELS = [-3, -2, -1]
DIM, FOLDS = 256, 5


def add_trunk_arguments(parser: argparse._ActionsContainer) -> None:
    """Declare how the networks are built; each option is given once for all of them, or once for each."""
    add = parser.add_argument
    add(
        "--weights",
        nargs="+",
        default=[OF_TIMM],
        metavar="FILE",
        help=f"weights of each network as timm names them, {OF_TIMM} for timm's own, a download (default), "
        f"or {RANDOM} for none, a control",
    )
    add(
        "--input-size",
        nargs="+",
        type=int,
        default=[None],
        metavar="PX",
        help="resize views to this side, 0: never; default: enlarge smaller ones to timm's size",
    )
    add(
        "--normalization",
        nargs="+",
        default=[OF_TIMM],
        metavar="NAME",
        help="statistics of the images: imagenet, symmetric or unit; default: timm's of each network",
    )
    add(
        "--trunk-options",
        nargs="+",
        default=[""],
        metavar="KEY=VALUE,...",
        help="further arguments of timm.create_model, such as pad_type=same",
    )
    add(
        "--precision",
        choices=["float32", "bfloat16"],
        default="float32",
        help="of the networks; bfloat16 is faster, left out where the processor lacks it (%(default)s)",
    )
    add("--views", type=int, metavar="N", help="classes by N views alone, evenly chosen; default: by all")
    add(
        "--dim",
        type=int,
        default=DIM,
        help="channels of descriptors, at most the networks' (%(default)s)",
    )
    add("--folds", type=int, default=FOLDS, help="of the cross-fitted logits; 0: none (%(default)s)")
    add(
        "--no-spread",
        action="store_true",
        help="leave shapes without a label to the probe alone, not to those that look alike",
    )
    add(
        "--regularisation",
        type=float,
        metavar="C",
        help="of the probe; default: chosen by cross-validation on the labelled shapes",
    )


def add_point_arguments(parser: argparse._ActionsContainer) -> None:
    """Add the arguments of targets of single points."""
    parser.add_argument(
        "--point-dim", type=int, default=0, metavar="E", help="say so much of each point, too; 0: nothing (0)"
    )
    parser.add_argument(
        "--point-count", type=int, default=512, metavar="N", help="of the first N of a shape (%(default)s)"
    )
    parser.add_argument(
        "--point-levels",
        type=int,
        nargs="+",
        default=POINT_LEVELS,
        metavar="LEVEL",
        help="by these stages of each network, below 0 from its last one (-3 -2 -1)",
    )


def build_trunks(
    args: argparse.Namespace, names: Sequence[str], levels: Sequence[int] | None = None
) -> list[FrozenTrunk]:
    """Return the networks that the words describe.

    Args:
        args: Of a parser with ``add_trunk_arguments``.
        names: Of the networks.
        levels: As ``FrozenTrunk``.

    Raises:
        ValueError: An option is given neither once nor once for each network, or does not fit.
        FileNotFoundError: A file of weights is not there.
    """
    from pointmcd.models.teachers.frozen import FrozenTrunk

    columns = []
    for option in ("weights", "input_size", "normalization", "trunk_options"):
        values = getattr(args, option)
        if len(values) not in (1, len(names)):
            raise ValueError(
                f"--{option.replace('_', '-')} has {len(values)} values for {len(names)} networks; give one, "
                "or one for each"
            )
        columns.append(values * len(names) if len(values) == 1 else values)
    for size in args.input_size:
        if size is not None and size < 0:
            raise ValueError(f"--input-size is {size}, must be a number of pixels (0: views as they are)")
    if len(names) > 1 and len(args.weights) == 1 and args.weights[0] not in (OF_TIMM, RANDOM):
        raise ValueError(f"--weights has one file for {len(names)} networks; give one for each")
    return [
        FrozenTrunk(
            name,
            checkpoint=None if weights in (OF_TIMM, RANDOM) else weights,
            random_weights=weights == RANDOM,
            input_size=size,
            normalization=normalization,
            trunk_options=_options(words),
            levels=levels,
            precision="float32" if levels is not None else getattr(args, "precision", "float32"),
        )
        for name, weights, size, normalization, words in zip(names, *columns, strict=True)
    ]


def look(root: Path, trunks: Sequence[FrozenTrunk]) -> list[TrunkFeatures]:
    """Return the features of each network, with a bar for those that are computed now."""
    from pointmcd.evaluation.frozen_teacher import trunk_features

    with Progress() as progress:
        return [trunk_features(root, trunk, progress.track) for trunk in trunks]


def look_at_points(root: Path, args: argparse.Namespace, names: Sequence[str]) -> list[TrunkFeatures]:
    """Return what each network says of single points; none without ``--point-dim``."""
    from pointmcd.evaluation.point_targets import point_features

    if not getattr(args, "point_dim", 0):
        return []
    trunks = build_trunks(args, names, args.point_levels)
    with Progress() as progress:
        return [
            point_features(root, trunk, args.point_count, args.point_dim, progress.track) for trunk in trunks
        ]


def cache_frozen(
    root: Path,
    name: str,
    trunks: Sequence[FrozenTrunk],
    labels: Labels,
    args: argparse.Namespace,
    further: Sequence[Path] = (),
    probe_parts: bool = True,
) -> tuple[list[Path], dict[str, dict[str, float]]]:
    """Ask frozen networks about a set, and about further ones without their labels.

    Args:
        root: Folder of the set.
        name: Of the caches.
        trunks: The networks.
        labels: What they may know of it.
        args: Of a parser with ``add_trunk_arguments``.
        further: Folders of further sets.
        probe_parts: Whether they also say the parts of single points, where these have some.

    Returns:
        The folders of the caches, that of ``root`` first, and its figures by split.
    """
    from pointmcd.evaluation.frozen_teacher import fit_teacher, write_cache

    names = [trunk.settings["trunk"] for trunk in trunks]
    check_numbers(args, further)
    check_sets(root, further)
    features, points = look(root, trunks), look_at_points(root, args, names)
    spread = not args.no_spread
    with Progress() as progress:
        progress.begin("the probe of what they see")
        teacher = fit_teacher(
            features,
            labels,
            args.folds,
            args.dim,
            args.regularisation,
            spread,
            points if probe_parts else (),
            args.views,
        )
        folder, figures = write_cache(root, name, teacher, features, points=points)
    seen = teacher.record["labels"]
    say = Console(soft_wrap=True, highlight=False).print
    if labels.fraction < 1:
        count = counted(seen["count"], "shape")
        say(f"{100 * labels.fraction:g} % of the labels of each class, at least one: {count}")
    right = teacher.record.get("point_probe", {}).get("cross_fitted_point_accuracy")
    if right is not None:
        say(f"parts: the probe is right on {right:.1f} % of the points of shapes that it did not learn from")
    folders = [folder]
    for other in further:
        folders.append(write_cache(other, name, teacher, look(other, trunks), home=False)[0])
    return folders, figures


def cache_descriptors(
    root: Path,
    name: str,
    trunks: Sequence[FrozenTrunk],
    args: argparse.Namespace,
    further: Sequence[Path] = (),
) -> list[Path]:
    """Ask frozen networks about a set, and about further ones, without looking at a label.

    Returns:
        The folders of the caches, that of ``root`` first.
    """
    from pointmcd.evaluation.descriptor_teacher import descriptor_projection, write_descriptors

    check_numbers(args, further)
    check_sets(root, further)
    names = [trunk.settings["trunk"] for trunk in trunks]
    features, points = look(root, trunks), look_at_points(root, args, names)
    projection = descriptor_projection(features, args.dim)
    folders = [write_descriptors(root, name, projection, features, points)]
    return folders + [write_descriptors(other, name, projection, look(other, trunks)) for other in further]


def _options(words: str) -> dict[str, Any]:
    """Return ``pad_type=same,drop_rate=0.1`` as a dict."""
    options = {}
    for word in filter(None, words.split(",")):
        key, equals, text = word.partition("=")
        if not equals:
            raise ValueError(f"--trunk-options takes key=value, not {word!r}")
        try:
            options[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            options[key] = text
    return options
