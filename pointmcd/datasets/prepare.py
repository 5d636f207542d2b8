"""The preparation job: a source of shapes becomes a prepared set, in parallel and resumable.

Each shape is written to ``<out>.partial/shapes`` under a temporary name and renamed, so that whatever ends a
run, the same command goes on where it stopped. When all are there they are put together in
``<out>.partial/set``, which is renamed to ``<out>`` at last.
"""

import json
import shutil
import sys
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pointmcd.datasets.archive import fingerprint, is_archive, unpack
from pointmcd.datasets.prepared import MANIFEST, PreparedSet, SplitWriter, seal, write_json
from pointmcd.datasets.processing import PointSettings, Settings
from pointmcd.datasets.ranks import Ranks
from pointmcd.datasets.sources import Source, source_class
from pointmcd.datasets.workers import ShapeJob, prepare_each
from pointmcd.geometry import CameraRig, rig

JOB = "job.json"


class PreparationError(ValueError):
    """The set cannot be prepared as asked; the message has the remedy."""


@dataclass(frozen=True)
class Request:
    """What a user asks for. Whoever asks for the same of the same files gets the same set.

    Attributes:
        source: key of ``SOURCES``.
        options: the source's own arguments. The path ``source`` among them may be an archive.
        up: None leaves it to the source.
        visibility: None takes ``ray`` where there are meshes, and no masks where there are points alone.
        seed: seeds the sampling.

    The others are those of ``PointSettings`` and ``Settings``.
    """

    source: str
    options: dict[str, Any]
    num_points: int = 2048
    up: str | None = None
    seed: int = 0
    rig: CameraRig = field(default_factory=lambda: rig("circle12"))
    image_size: int = 224
    shading: str = "smooth"
    background: int = 255
    visibility: str | None = None

    @property
    def path(self) -> Path | None:
        return self.options.get("source")

    def settings(self, source: Source) -> Settings:
        """The settings with what ``source`` decides filled in."""
        points = PointSettings(self.num_points, self.up or source.up, self.seed)
        if source.surfaces:
            visibility = self.visibility or "ray"
            return Settings(points, self.rig, self.image_size, self.shading, self.background, visibility)
        if self.visibility in ("ray", "depth"):
            raise PreparationError(
                f"--visibility {self.visibility} needs meshes; from points alone there is hpr"
            )
        masks = self.visibility == "hpr"
        return Settings(points, self.rig if masks else None, None, visibility="hpr" if masks else "none")

    def record(self) -> dict[str, Any]:
        """Plain values that tell this request from others; the source's files count, not where they lie."""
        return {
            "source": self.source,
            "source_files": None if self.path is None else fingerprint(self.path),
            **{key: value for key, value in self.options.items() if key != "source"},
            "points": self.num_points,
            "up": self.up,
            "seed": self.seed,
            "rig": self.rig.to_dict(),
            "image_size": self.image_size,
            "shading": self.shading,
            "background": self.background,
            "visibility": self.visibility,
        }


@dataclass(frozen=True)
class Result:
    """The digest, the number of shapes in each split, and the rejected ones (name, split, file, reason)."""

    digest: str
    splits: dict[str, int]
    rejected: list[dict[str, str]]
    was_ready: bool = False


def prepare(request: Request, out: Path, workers: int = 0, overwrite: bool = False) -> Result | None:
    """Prepares a source into the folder ``out``.

    Under torchrun each rank takes its share of the shapes, on a disk that all ranks share.

    Args:
        workers: processes (of each rank); 0 works in this one.
        overwrite: replace what is in ``out``, which stays until the new set is whole.

    Returns:
        The result, on rank 0; None on the others.

    Raises:
        PreparationError: the set is there with other settings, or a split lost all of its shapes.
        SourceError: the source cannot be used.
    """
    ranks = Ranks.from_environment()
    work = out.with_name(out.name + ".partial")
    ready = None
    if ranks.first:
        record = request.record()
        ready = _finished(out, work, record, overwrite)
        if ready is None:
            _open_work_folder(request.path, work, record, overwrite)
    if ranks.told_by_first(ready is not None):
        return ready

    options = dict(request.options)
    if request.path is not None and is_archive(request.path):
        options["source"] = work / "source"
    source = source_class(request.source)(**options)
    job = ShapeJob(source, request.settings(source), work / "shapes")
    _prepare_share(job, ranks, workers)
    ranks.wait()
    if not ranks.first:
        return None
    result = _assemble(job, work / "set", record)
    _replace(out, work)
    return result


def _finished(out: Path, work: Path, record: dict[str, Any], overwrite: bool) -> Result | None:
    """The result of an earlier run of the same request, where there is one."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not (out / MANIFEST).is_file():
        raise PreparationError(
            f"{out} is there and is no prepared set; it is left as it is. Choose another --out"
        )
    if overwrite:
        return None
    manifest = PreparedSet(out).manifest
    if differing := _differences(manifest["request"], record):
        raise PreparationError(
            f"{out} was prepared with other settings:\n{differing}\n"
            "Choose another --out, or add --overwrite (the old set stays until the new one is whole)."
        )
    if not (work / JOB).is_file() or _read_json(work / JOB) == record:
        shutil.rmtree(work, ignore_errors=True)  # a run that ended while it tidied up
    return Result(manifest["digest"], manifest["splits"], manifest["rejected"], was_ready=True)


def _differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    lines = []
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            values = (
                "other files" if key == "source_files" else f"{old.get(key)} there, {new.get(key)} asked for"
            )
            lines.append(f"  {key}: {values}")
    return "\n".join(lines)


def _open_work_folder(path: Path | None, work: Path, record: dict[str, Any], overwrite: bool) -> None:
    """Makes the folder of an unfinished job, or goes on with the one that is there."""
    if (work / JOB).is_file():
        differing = _differences(_read_json(work / JOB), record)
        if differing and not overwrite:
            raise PreparationError(
                f"{work} is the unfinished work of a run with other settings:\n{differing}\n"
                "Finish it with those, or begin anew with --overwrite."
            )
        if differing:
            shutil.rmtree(work)
    shutil.rmtree(work / "set", ignore_errors=True)
    (work / "shapes").mkdir(parents=True, exist_ok=True)
    write_json(work / JOB, record)
    if path is not None and is_archive(path) and not (work / "source").is_dir():
        print(f"unpacking {path.name}", file=sys.stderr)
        unpack(path, work / "source")


def _prepare_share(job: ShapeJob, ranks: Ranks, workers: int) -> None:
    share = range(ranks.rank, len(job.source.items), ranks.world)
    pending = [index for index in share if not job.done(index)]
    rejected = 0
    with tqdm(
        total=len(share),
        initial=len(share) - len(pending),
        desc="shapes",
        unit="shape",
        disable=not ranks.first,
        mininterval=0.5 if sys.stderr.isatty() else 30,
    ) as bar:
        for index, reason in prepare_each(job, pending, workers):
            if reason is not None:
                rejected += 1
                item = job.source.items[index]
                tqdm.write(f"rejected {item.split}/{item.name}: {reason}", file=sys.stderr)
                bar.set_postfix(rejected=rejected, refresh=False)
            bar.update()


def _assemble(job: ShapeJob, target: Path, record: dict[str, Any]) -> Result:
    """Puts the shapes of all ranks together, in the order of the source."""
    items = job.source.items
    kept: dict[str, list[int]] = {item.split: [] for item in items}
    rejected = []
    for index, item in enumerate(items):
        if job.done(index):
            kept[item.split].append(index)
        else:
            about = {"name": item.name, "split": item.split, "file": item.file}
            rejected.append({**about, "reason": job.reason(index)})
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
    header = {
        "source": record["source"],
        "class_names": job.source.class_names,
        "part_names": job.source.part_names,
        "splits": splits,
        **job.settings.to_dict(),
        "rejected": rejected,
        "request": record,
        "made_with": {name: version(name) for name in ("pointmcd", "trimesh", "embreex", "numpy", "torch")},
    }
    return Result(seal(target, header), splits, rejected)


def _replace(out: Path, work: Path) -> None:
    """Puts the finished set in place; a run that ends between two steps has lost no prepared shape."""
    if out.exists():
        shutil.rmtree(work / "old", ignore_errors=True)
        out.rename(work / "old")
    (work / "set").rename(out)
    shutil.rmtree(work)


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))
