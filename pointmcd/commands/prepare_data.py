"""Turn a source of shapes into a prepared set: points, masks of visibility, rendered views, and label images
where the source has parts.

    pointmcd prepare builtin --out data/builtin
    pointmcd prepare mesh-folder --source path/to/meshes --out data/my_set
    pointmcd prepare mesh-folder --unlabelled --source path/to/meshes --out data/unlabelled
    pointmcd prepare cloud-folder --source path/to/scans --out data/scans
    pointmcd prepare modelnet40 --source ModelNet40.zip --out data/modelnet40
    pointmcd prepare shapenet-part --source SHAPENETPART.zip --out data/shapenetpart
    pointmcd prepare shapenet-core --source ShapeNetCore.v2.zip --out data/shapenetcore
    pointmcd prepare scanobjectnn --source h5_files.zip --out data/scanobjectnn
    pointmcd prepare --imports my_module my-source --out data/mine
    pointmcd prepare --check data/my_set
    pointmcd prepare mesh-folder --source path/to/meshes --out data/large --shard 3/64
    pointmcd prepare --merge data/large

An interrupted run goes on with the same command, and a set that is there stays whole until another replaces
it. Under torchrun each rank takes its share. A large set is made of shards, each by a job of its own on any
machine that sees the folder, and merged when all are there (docs/large_sets.md).

Clouds are rendered as splats; --no-views leaves them points. Masks hold at most 31 views; denser sets are for
images alone: --rig fibonacci180 --visibility none takes, on one core, 0.4 s and 240 kB a shape at 112 pixels,
1.4 s and 570 kB at 224 (12 views at 224 pixels with masks: 0.1 s and 40 kB).

Exit code: 0 all shapes are prepared, 3 some were rejected (see the manifest) and the set is usable, 1 failed;
torchrun knows 0 and 1 alone, so that there 0 stands for 3 too.
"""

from __future__ import annotations

import argparse
import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pointmcd.commands import common
from pointmcd.datasets.array_cache import ArrayCache
from pointmcd.datasets.manifest import how_to_merge
from pointmcd.datasets.preparation.limits import Limits
from pointmcd.datasets.preparation.sources import source_class, source_names
from pointmcd.datasets.preparation.sources.walk import NAMES_SHOWN
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.geometry.cameras import rig, rig_names
from pointmcd.registry import import_modules

if TYPE_CHECKING:
    from pointmcd.datasets.preparation.job import Request, Result
    from pointmcd.datasets.preparation.sources import Source
    from pointmcd.datasets.preparation.sources.copies import CopySettings

REJECTED = 3
LEAST_MEMORY_GB = 4.0


def make_parser() -> argparse.ArgumentParser:
    parser = common.make_parser(__doc__)
    parser.add_argument(
        "--check",
        type=Path,
        metavar="FOLDER",
        help="read all of a prepared set and of its caches, and compare hashes",
    )
    parser.add_argument(
        "--merge", type=Path, metavar="FOLDER", help="make one set of the shards that lie in a folder"
    )
    common.add_imports(parser)
    names = source_names()
    sources = parser.add_subparsers(dest="kind", metavar="SOURCE", help=", ".join(names))
    for name in names:
        described = source_class(name)
        summary = (described.__doc__ or "").partition("\n")[0]
        # A source may say more of a common argument.
        one = sources.add_parser(name, help=summary, description=summary, conflict_handler="resolve")
        add_common(one)
        common_names = {action.dest for action in one._actions}
        described.add_arguments(one)
        check_arguments(described, {action.dest for action in one._actions}, common_names)
    return parser


def check_arguments(source: type[Source], names: set[str], common_names: set[str]) -> None:
    """Refuse a source whose arguments are not those of its constructor.

    Raises:
        ValueError: They are not.
    """
    wanted = set(inspect.signature(source).parameters)
    if lacking := sorted(wanted - names):
        raise ValueError(
            f"{source.__name__}: add_arguments lacks {', '.join(lacking)}, which the constructor takes"
        )
    if unused := sorted(names - common_names - wanted):
        raise ValueError(
            f"{source.__name__}: the constructor lacks {', '.join(unused)}, which add_arguments declares"
        )


def add_common(parser: argparse.ArgumentParser) -> None:
    common.add_imports(parser)
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder of the prepared set")
    # What is left out is None here; the settings themselves say what they are then.
    add(
        "--points",
        type=int,
        dest="num_points",
        metavar="COUNT",
        help="points a shape, drawn from twice as many (2048)",
    )
    add(
        "--up",
        choices=["x", "y", "z"],
        help="the axis that points up in the source (GLB: always y); default: the source's",
    )
    add(
        "--rig",
        help=f"cameras: {rig_names()}; default: the source's",
    )
    add("--azimuth", type=float, nargs="+", metavar="DEG", help="cameras by angles, with --elevation")
    add("--elevation", type=float, nargs="+", metavar="DEG", help="one for all cameras, or one for each")
    add("--image-size", type=int, help="side of the views in pixels (224)")
    add("--shading", choices=["smooth", "flat"], help="of meshes (smooth)")
    add("--background", type=int, help="grey level 0 to 255 (255)")
    add("--no-views", action="store_true", help="points alone; training a baseline needs no more")
    add("--depths", action="store_true", default=None, help="keep the depth of each pixel beside the views")
    add(
        "--visibility",
        choices=["ray", "depth", "hpr", "none"],
        help="test that makes the masks, for at most 31 views (ray; for clouds without normals hpr)",
    )
    add(
        "--hpr-radius",
        type=lambda text: text if text == "pointvst" else float(text),
        help="of hpr among 10000 points, in largest distances to the camera (100), or pointvst for that "
        "method's rule",
    )
    add("--copies", type=int, default=0, metavar="N", help="prepare each training shape N times more (0)")
    add("--copy-turn", type=float, metavar="DEG", help="turn copies about the up axis by up to so much (15)")
    add("--copy-stretch", type=float, metavar="FACTOR", help="stretch their axes by up to so much (1.5)")
    add("--seed", type=int, default=0, help="seed of the sampling, and of what the source draws (0)")
    add("--shard", metavar="N/COUNT", help="prepare the N-th of COUNT shares alone, for --merge")
    add("--workers", type=int, help="processes; default: one a core; 0: in this one")
    add(
        "--shape-seconds",
        type=float,
        default=Limits.seconds,
        help="a shape that takes longer is rejected; 0: any time (%(default)g)",
    )
    add(
        "--shape-memory",
        type=float,
        metavar="GB",
        help="of a worker; a shape that needs more is rejected; 0: any (the machine's, over the workers)",
    )
    add(
        "--any-archive-size", action="store_true", help="unpack an archive that grows more than 100-fold, too"
    )
    add(
        "--overwrite",
        action="store_true",
        help="replace the set (and the teacher caches in it) once the new is whole",
    )


def make_request(args: argparse.Namespace, typed: Sequence[str]) -> Request:
    """Return what is asked for; ``typed`` are the arguments."""
    from pointmcd.datasets.preparation.request import DEFAULTS, Request
    from pointmcd.datasets.preparation.shards import Shard

    if (args.azimuth is None) != (args.elevation is None):
        raise ValueError("--azimuth and --elevation go together")
    if args.rig is not None and args.azimuth is not None:
        raise ValueError("the cameras are given by --rig or by --azimuth and --elevation, not by both")
    cameras = args.rig
    if args.azimuth is not None:
        elevation = args.elevation * len(args.azimuth) if len(args.elevation) == 1 else args.elevation
        cameras = {"azimuth_deg": args.azimuth, "elevation_deg": elevation}
    return Request(
        args.kind,
        {name: getattr(args, name) for name in inspect.signature(source_class(args.kind)).parameters},
        views=not args.no_views,
        copies=make_copies(args),
        shard=None if args.shard is None else Shard.of(args.shard, of_any_shard(typed)),
        rig=None if cameras is None else rig(cameras),
        **{name: getattr(args, name) for name in DEFAULTS if name != "rig" and hasattr(args, name)},
    )


def of_any_shard(typed: Sequence[str]) -> str:
    """Return the command that was typed, without the number of the shard and what else is of one run."""
    words = [word for word in typed if word != "--overwrite"]
    for place, word in enumerate(words):
        if word.partition("=")[0] in ("--shar", "--shard"):
            del words[place : place + (1 if "=" in word else 2)]
            break
    return common.next_step("prepare", *words)


def make_copies(args: argparse.Namespace) -> CopySettings | None:
    from pointmcd.datasets.preparation.sources.copies import CopySettings

    given = {"turn_deg": args.copy_turn, "stretch": args.copy_stretch}
    given = {name: value for name, value in given.items() if value is not None}
    if args.copies:
        return CopySettings(args.copies, **given)
    if given:
        raise ValueError("--copy-turn and --copy-stretch need --copies N, whose copies they shape")
    return None


def make_limits(args: argparse.Namespace, workers: int) -> Limits:
    """Return what one shape may take; of the memory of this machine each worker gets its share."""
    memory = args.shape_memory
    if memory is None:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        memory = max(LEAST_MEMORY_GB, total / 1e9 / max(1, workers))
    return Limits(args.shape_seconds or None, memory or None)


def remarks(prepared: PreparedSet) -> Iterator[str]:
    """Yield what is odd about a set, in a line each."""
    counts = {
        name: np.bincount(prepared.split(name).labels, minlength=len(prepared.class_names))
        for name in prepared.splits
    }
    train = counts.get("train", np.zeros(len(prepared.class_names), int))
    for found, what in (
        (train == 0, "no shape to train on"),
        (train == 1, "one shape to train on, so that none can be held out"),
    ):
        if found.any():
            names = [name for name, there in zip(prepared.class_names, found, strict=True) if there]
            more = ", ..." if len(names) > NAMES_SHOWN else ""
            yield f"{len(names)} of {len(train)} classes have {what}: {', '.join(names[:NAMES_SHOWN])}{more}"
    if "test" not in counts:
        draws = "test_fraction" in inspect.signature(source_class(prepared.manifest["source"])).parameters
        yield "It has no shapes to test on" + (
            "; --test-fraction draws some, where a class has enough" if draws else ""
        )
    elif missing := int(((counts["test"] == 0) & (train > 0)).sum()):
        yield f"{missing} of {len(train)} classes have no shape to test on"


def report(result: Result, out: Path) -> None:
    counts = ", ".join(f"{count} {split}" for split, count in result.splits.items()) or "0"
    state = "was already prepared with these settings; nothing was done" if result.was_ready else "is ready"
    print(f"{out} {state}: {counts} shapes, digest {result.digest[:16]}")
    if result.rejected:
        print(f"rejected: {len(result.rejected)}; {out}/manifest.json has the reasons")
    prepared = PreparedSet(out)
    if shard := prepared.manifest.get("shard"):
        root = out.parents[1]
        print(f"It is shard {shard['number']} of {shard['count']}; with all of them: {how_to_merge(root)}")
        return
    if prepared.manifest["source"] != "shapenet-core" and prepared.class_names != ["unlabelled"]:
        for remark in remarks(prepared):
            print(remark)
    if not prepared.has_views:
        print(
            "It has no views: baseline_* configs train on it; teachers and pointmcd_* configs need views,\n"
            "which are made without --no-views."
        )


def check(root: Path) -> None:
    """Read all of a prepared set, and of the caches in it."""
    prepared = PreparedSet(root)
    prepared.verify()
    print(f"{root} is whole: digest {prepared.digest}")
    for meta in sorted(root.glob("*/[!.]*/meta.json")):
        kind, name = meta.parent.parent.name, meta.parent.name
        hashed = ArrayCache(root, kind, name, "write it again").verify()
        print(f"{meta.parent} {'is whole' if hashed else 'has no hashes: an earlier version wrote it'}")


@common.plain_errors("the same command goes on from here")
def main(argv: Sequence[str] | None = None) -> int:
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    common.add_imports(early)
    import_modules(early.parse_known_args(argv)[0].imports)  # before the parser lists the sources
    parser = make_parser()
    args = parser.parse_args(argv)
    if args.check is None and args.merge is None and args.kind is None:
        parser.error("name a source, or --check a prepared set, or --merge its shards")
    if args.check is not None:
        check(args.check)
        return 0
    if args.merge is not None:
        from pointmcd.datasets.preparation.merge import merge

        merged = merge(args.merge)
        report(merged, args.merge)
        return REJECTED if merged.rejected else 0
    from pointmcd.datasets.preparation.job import prepare

    workers = args.workers
    if workers is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        workers = max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    request = make_request(args, sys.argv[1:] if argv is None else argv)
    result = prepare(
        request,
        args.out,
        workers,
        args.overwrite,
        make_limits(args, workers),
        args.any_archive_size,
    )
    if result is None:
        return 0
    report(result, args.out if request.shard is None else request.shard.folder(args.out))
    return REJECTED if result.rejected and "TORCHELASTIC_RUN_ID" not in os.environ else 0
