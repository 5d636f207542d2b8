"""The preparation job: a source of shapes becomes a prepared set, in parallel and resumable.

Each shape is written to ``<out>.partial/shapes`` under a temporary name and renamed, so that whatever ends a
run, the same command goes on where it stopped. When all are there they are put together in
``<out>.partial/set``, which takes the name ``<out>`` at last, and the folder of an older set with it.
"""

import contextlib
import copy
import os
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pointmcd.datasets.manifest import MANIFEST, SHARDS, is_in_one_piece
from pointmcd.datasets.preparation.archive import check_source, unpack
from pointmcd.datasets.preparation.limits import Limits
from pointmcd.datasets.preparation.ranks import Ranks
from pointmcd.datasets.preparation.request import PreparationError, Request, differences
from pointmcd.datasets.preparation.shards import Shard
from pointmcd.datasets.preparation.sources import source_class
from pointmcd.datasets.preparation.sources.base import SourceError, check_contract, check_pickles
from pointmcd.datasets.preparation.sources.copies import SPLIT, CopiedSource
from pointmcd.datasets.preparation.workers import ShapeJob, prepare_each
from pointmcd.datasets.preparation.writer import SplitWriter, seal
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.files import read_json, write_json
from pointmcd.folders import replace_folder, sole_writer
from pointmcd.progress import Progress

JOB = "job.json"


@dataclass(frozen=True)
class Result:
    """The digest, the number of shapes in each split, and the rejected ones (name, split, file, reason)."""

    digest: str
    splits: dict[str, int]
    rejected: list[dict[str, str]]
    was_ready: bool = False


def prepare(
    request: Request,
    out: Path,
    workers: int = 0,
    overwrite: bool = False,
    limits: Limits | None = None,
    any_archive_size: bool = False,
) -> Result | None:
    """Prepare a source into the folder ``out``.

    Under torchrun each rank takes its share of the shapes, on a disk that all ranks share.

    Args:
        out: Of a link, what it points to. A shard comes to lie in its folder ``shards``.
        workers: Processes (of each rank); 0 works in this one.
        overwrite: Replace what is in ``out``, which stays until the new set is whole.
        limits: What one shape may take of a worker; None for the usual. Without workers there are none.
        any_archive_size: Unpack an archive however much it grows.

    Returns:
        The result, on rank 0; None on the others.

    Raises:
        PreparationError: The set is there with other settings, or a split lost all of its shapes.
        BusyError: Another run prepares the same.
        SourceError: The source cannot be used.
    """
    ranks = Ranks.from_environment()
    root = out = _resolved(out)
    if request.shard is not None:
        out = request.shard.folder(root)
    work = out.with_name(out.name + ".partial")
    ready = None
    with contextlib.ExitStack() as held:
        if ranks.first:
            if request.path is not None:
                check_source(request.path, source_class(request.source))
                if request.path.resolve() in out.parents:
                    raise PreparationError(
                        f"{out} lies in the source, {request.path}, which would change as it is written; "
                        "give another --out"
                    )
            record = request.record()
            if request.shard is not None and not overwrite:
                _check_beside(request.shard, root, record)
            remedy = None if request.shard is None else "The same command with --overwrite makes it again."
            ready = _finished(out, work, record, overwrite, remedy)
            if ready is None:
                held.enter_context(sole_writer(work / "lock", out))
                _open_work_folder(request.archive, work, record, overwrite, any_archive_size)
        if ranks.broadcast(ready is not None):
            return ready

        options = dict(request.options)
        if request.archive is not None:
            options["source"] = work / "source"
        known = source_class(request.source)
        source = request.listed if known.lists else known(**options)
        check_contract(source)
        if workers:
            check_pickles(source)
        settings = request.settings(source)
        said: dict[str, Any] = {}
        if request.shard is not None:
            said = {"shard": request.shard.record(source.items)}
            source = copy.copy(source)  # the request keeps all items
            try:
                source.items = request.shard.share(source.items)
            except SourceError:
                if ranks.first:  # what is left would be in the way of fewer shards
                    shutil.rmtree(work)
                raise
        if request.copies is not None:
            source = CopiedSource(source, request.copies, settings.points.up, settings.points.seed)
        job = ShapeJob(source, settings, work / "shapes", limits or Limits())
        _prepare_share(job, ranks, workers)
        ranks.wait()
        if not ranks.first:
            return None
        if request.archive is None:  # what was unpacked is a copy of its own
            _check_unchanged(work, record, request.record())
        result = _assemble(job, work / "set", record, request.shard, said)
        replace_folder(work / "set", out)
        shutil.rmtree(work)
        return result


def _resolved(out: Path) -> Path:
    """Return where the set comes to lie; its name changes in one step, which a mount point's cannot."""
    out = Path(os.path.realpath(out))
    if not out.name or os.path.ismount(out):
        raise PreparationError(
            f"{out} is a mount point, which cannot be replaced as a whole; take {out / 'set'}"
        )
    return out


def _finished(
    out: Path, work: Path, record: dict[str, Any], overwrite: bool, remedy: str | None
) -> Result | None:
    """Return the result of an earlier run of the same request, where there is one."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not (out / MANIFEST).is_file():
        raise PreparationError(
            f"{out} exists and is not a prepared set; it was not touched. Choose another --out"
        )
    if overwrite:
        return None
    manifest = PreparedSet(out, remedy).manifest
    if differing := differences(manifest.get("request", {}), record):
        raise PreparationError(
            f"{out} was prepared with other settings:\n{differing}\n"
            "Choose another --out, or add --overwrite (the old set stays until the new one is whole)."
        )
    if not (work / JOB).is_file() or not differences(read_json(work / JOB), record):
        shutil.rmtree(work, ignore_errors=True)  # a run that ended while it tidied up
    return Result(manifest["digest"], manifest["splits"], manifest.get("rejected", []), was_ready=True)


def _check_beside(shard: Shard, root: Path, record: dict[str, Any]) -> None:
    """Refuse to make a shard beside those of another request, or in a set in one piece."""
    if is_in_one_piece(root):
        raise PreparationError(f"{root} is a prepared set in one piece; choose another --out")
    own = {"shard": f"one of {shard.count}", "own_times": None}
    for folder in sorted((root / SHARDS).glob("[0-9]*")):
        file = folder / (JOB if folder.suffix else MANIFEST)
        if folder == shard.folder(root) or not file.is_file():
            continue
        try:
            found = read_json(file)
            other = found if folder.suffix else found["request"]
            count = other["shard"].rpartition("/")[2]
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # it is damaged, or no shard, which merging says
        if differing := differences(other | own | {"shard": f"one of {count}"}, record | own):
            raise PreparationError(
                f"{folder} belongs to another set:\n{differing}\n"
                "Choose another --out; or make all shards again, each with --overwrite."
            )


def _open_work_folder(
    archive: Path | None, work: Path, record: dict[str, Any], overwrite: bool, any_archive_size: bool
) -> None:
    """Make the folder of an unfinished job, or go on with the one that is there."""
    if (work / JOB).is_file():
        differing = differences(read_json(work / JOB), record)
        if differing and not overwrite and any((work / "shapes").glob("*")):
            raise PreparationError(
                f"{work} is unfinished work of a run with other settings:\n{differing}\n"
                "Finish it with those settings, or start again with --overwrite."
            )
        if differing:
            shutil.rmtree(work / "shapes", ignore_errors=True)
            shutil.rmtree(work / "source", ignore_errors=True)
    shutil.rmtree(work / "set", ignore_errors=True)
    (work / "shapes").mkdir(parents=True, exist_ok=True)
    for left in (work / "shapes").glob("*.tmp"):  # of processes that were killed
        left.unlink()
    write_json(work / JOB, record)
    if archive is not None and not (work / "source").is_dir():
        print(f"unpacking {archive.name}", file=sys.stderr)
        unpack(archive, work / "source", limited=not any_archive_size)


def _check_unchanged(work: Path, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Refuse shapes of which some were read before the source changed, and some afterwards."""
    if differing := differences(before, after):
        shutil.rmtree(work / "shapes")
        raise PreparationError(
            f"the source changed while it was prepared:\n{differing}\nThe same command starts again."
        )


def _prepare_share(job: ShapeJob, ranks: Ranks, workers: int) -> None:
    share = range(ranks.rank, len(job.source.items), ranks.world)
    pending = [index for index in share if not job.done(index)]
    rejected = 0
    with Progress() as progress:
        progress.begin("shapes", len(share), done=len(share) - len(pending))
        for index, reason in prepare_each(job, pending, workers):
            if reason is not None:
                rejected += 1
                item = job.source.items[index]
                progress.print(f"rejected {item.split}/{item.name}: {reason}")
            progress.advance(note=f"{rejected} rejected" if rejected else None)


def _assemble(
    job: ShapeJob, target: Path, record: dict[str, Any], shard: Shard | None, said: dict[str, Any]
) -> Result:
    """Put the shapes of all ranks together, in the order of the source.

    Args:
        record: What was asked for.
        shard: Which one it is, or None for all shapes.
        said: What the manifest says of the shard.
    """
    items = job.source.items
    kept: dict[str, list[int]] = {item.split: [] for item in items}
    rejected = []
    for index, item in enumerate(items):
        if job.done(index):
            kept[item.split].append(index)
        else:
            about = {"name": item.name, "split": item.split, "file": item.file}
            rejected.append({**about, "reason": job.reason(index)})
    originals = job.source.originals if isinstance(job.source, CopiedSource) else {}
    row_of = {index: row for row, index in enumerate(kept["train"])} if originals else {}
    if originals:  # no copy of a shape that was rejected
        kept[SPLIT] = [index for index in kept[SPLIT] if originals[index] in row_of]
    if shard is not None:  # the other shards have some, or merging says that none has
        kept = {split: rows for split, rows in kept.items() if rows}
    if lost := [split for split, rows in kept.items() if not rows]:
        shown = "\n".join(f"  {r['split']}/{r['name']}: {r['reason']}" for r in rejected[:10])
        raise PreparationError(f"no usable shape in the split {', '.join(lost)}; the first reasons:\n{shown}")
    for split, rows in kept.items():
        chosen = [items[row] for row in rows]
        writer = SplitWriter(target / split, [item.name for item in chosen], [item.label for item in chosen])
        for row in rows:
            writer.add(job.read(row))
        writer.close()
    splits = {split: len(rows) for split, rows in kept.items()}
    made_with = {name: version(name) for name in ("pointmcd", "trimesh", "embreex", "numpy", "torch")}
    if shard is not None and shard.command is not None:
        made_with["command"] = shard.command
    header = {
        "source": record["source"],
        "class_names": job.source.class_names,
        "part_names": job.source.part_names,
        "splits": splits,
        **job.settings.to_dict(),
        **({} if job.source.class_parts is None else {"class_parts": job.source.class_parts}),
        **({"copies": {"of": [row_of[originals[row]] for row in kept[SPLIT]]}} if SPLIT in kept else {}),
        **said,
        "rejected": rejected,
        "request": record,
        "made_with": made_with,
    }
    return Result(seal(target, header), splits, rejected)
