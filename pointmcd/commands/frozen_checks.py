"""What a frozen teacher is not asked for: said before any work, which would fail afterwards or be undone."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pointmcd.datasets.prepared_set import PreparedSet

POINT_SETTINGS = ("up", "normalization")


def check_numbers(args: argparse.Namespace, further: Sequence[Path] = ()) -> None:
    """Refuse numbers out of their range.

    Raises:
        ValueError: One is, or targets of single points are asked for of further sets.
    """
    if args.dim < 1:
        raise ValueError(f"--dim is {args.dim}, must be at least 1")
    if args.folds < 0 or args.folds == 1:
        raise ValueError(f"the number of folds is {args.folds}, must be at least 2 (--folds 0: none)")
    strength = args.regularisation
    if strength is not None and not (math.isfinite(strength) and strength > 0):
        raise ValueError(f"--regularisation is {strength:g}, must be a finite number above 0")
    of_points: int = getattr(args, "point_dim", 0)
    if further and of_points:
        raise ValueError("--point-dim works for the points of --data only; leave out --further")


def check_sets(root: Path, further: Sequence[Path]) -> None:
    """Refuse further sets of which the teacher would say less than of the first, or more than it may.

    Raises:
        ValueError: A set has no views, or a further one was prepared otherwise or holds the same shapes.
    """
    from pointmcd.datasets.prepared_set import PreparedSet

    home = PreparedSet(root)
    home.require_views()
    own_points, found = _points_hashes(home, home.splits), {home.digest: root}
    for path in further:
        prepared = PreparedSet(path)
        prepared.require_views()
        _check_prepared_alike(prepared, home)
        if prepared.digest in found:
            # its cache would be written again, without the folds that keep each label from its own shape
            raise ValueError(f"--further {path} holds the same as {found[prepared.digest]}; leave it out")
        if own_points & _points_hashes(prepared, ["train"]):
            # the probe of all labels would speak of shapes that it has learnt from
            raise ValueError(f"--further {path} holds the shapes of {root}, prepared otherwise; leave it out")
        found[prepared.digest] = path


def _check_prepared_alike(prepared: "PreparedSet", home: "PreparedSet") -> None:
    path, root = prepared.root, home.root
    if prepared.num_views != home.num_views:
        raise ValueError(
            f"--further {path} has {prepared.num_views} views of each shape, {root} has {home.num_views}; "
            "prepare it with the same --rig"
        )
    if prepared.manifest.get("rig") != home.manifest.get("rig"):
        raise ValueError(
            f"--further {path} has views from other places than {root}; prepare it with the same --rig"
        )
    for name in POINT_SETTINGS:
        there, here = (one.manifest["points"].get(name) for one in (prepared, home))
        if None not in (there, here) and there != here:  # older sets do not say
            raise ValueError(
                f"--further {path} was prepared with {name} {there}, {root} with {here}; prepare both alike"
            )


def _points_hashes(prepared: "PreparedSet", splits: Sequence[str]) -> set[str]:
    """Return the hashes of the points of some splits; of a set of shards, those of each shard."""
    files = [one.manifest["files"] for one in (prepared, *prepared.shards)]
    names = [f"{split}/points.npy" for split in splits]
    return {listed[name]["sha256"] for listed in files for name in names if name in listed}
