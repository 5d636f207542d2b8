"""Runs the preparation of single shapes in worker processes; one bad shape harms no other."""

import contextlib
import importlib
import json
import multiprocessing
import os
import resource
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from pathlib import Path

import numpy as np
import torch
from pebble import ProcessExpired, ProcessPool

from pointmcd.datasets.images import KINDS
from pointmcd.datasets.preparation.limits import Limits
from pointmcd.datasets.preparation.shape import Settings, prepare_shape
from pointmcd.datasets.preparation.sources import Shape, Source, SourceError
from pointmcd.datasets.preparation.sources.copies import CopiedSource
from pointmcd.datasets.preparation.writer import EncodedShape
from pointmcd.files import write_json
from pointmcd.geometry.mesh import MeshError

KILLED = "its worker process was killed (out of memory, or a fault in a library)"


@dataclass(frozen=True)
class ShapeJob:
    """What is done to each shape of a source, and the folder that takes the results.

    A shape leaves ``<index>.npz`` or, where it was rejected, ``<index>.json`` with the reason.
    """

    source: Source
    settings: Settings
    folder: Path
    limits: Limits = field(default_factory=Limits)

    def done(self, index: int) -> bool:
        return self._path(index, "npz").is_file()

    def run(self, index: int) -> str | None:
        """Prepare one shape; return None, or the reason why it was rejected."""
        item = self.source.items[index]
        try:
            loaded = self.source.load(item)
            if not isinstance(loaded, Shape):
                raise MeshError(
                    f"load of the source returned a {type(loaded).__name__}; it must return a Shape"
                )
            _check_parts(loaded, self.source.part_names)
            self._check_normals(loaded)
            shape = prepare_shape(loaded, self.settings, item.name)
        except MeshError as error:
            return self.reject(index, str(error))
        except SourceError:  # it is wrong of all shapes
            raise
        except MemoryError:
            return self.reject(index, "needs more memory than it may use (--shape-memory)")
        except Exception as error:  # a fault that nobody foresaw in one file must not end the job
            return self.reject(index, f"{type(error).__name__}: {error}")
        images = {}
        for kind, encoded in shape.images.items():
            images[f"_{kind}_sizes"] = np.asarray([len(image) for image in encoded], np.int64)
            images[f"_{kind}_data"] = np.frombuffer(b"".join(encoded), np.uint8)
        path = self._path(index, "npz")
        temporary = path.with_suffix(f".{os.getpid()}.tmp")  # many small files: none is flushed by itself
        try:
            with open(temporary, "wb") as file:
                np.savez(file, **images, **shape.arrays)  # type: ignore[arg-type]  # allow_pickle is none of them
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return None

    def _check_normals(self, shape: Shape) -> None:
        """Refuse a source whose clouds lack the normals that it says they have, where masks need them."""
        whose = self.source.source if isinstance(self.source, CopiedSource) else self.source
        cloud = shape.points is not None and shape.normals is None
        if cloud and self.settings.visibility == "ray" and (self.source.surfaces or self.source.normals):
            raise SourceError(
                f"the source {type(whose).__name__} gives clouds without normals; it says so by `surfaces = "
                "False` and `normals = False` in its class, and masks are then made by hpr"
            )

    def reject(self, index: int, reason: str) -> str:
        write_json(self._path(index, "json"), reason)
        return reason

    def read(self, index: int) -> EncodedShape:
        with np.load(self._path(index, "npz")) as stored:
            arrays = {name: stored[name] for name in stored.files if not name.startswith("_")}
            images = {
                kind: _cut(stored[f"_{kind}_data"].tobytes(), stored[f"_{kind}_sizes"])
                for kind in KINDS
                if f"_{kind}_sizes" in stored
            }
        return EncodedShape(arrays, images)

    def reason(self, index: int) -> str:
        return json.loads(self._path(index, "json").read_text("utf-8"))

    def _path(self, index: int, suffix: str) -> Path:
        return self.folder / f"{index:07d}.{suffix}"


def _cut(data: bytes, sizes: np.ndarray) -> list[bytes]:
    ends = np.cumsum(sizes)
    return [data[end - size : end] for size, end in zip(sizes, ends, strict=True)]


def _check_parts(shape: Shape, part_names: list[str] | None) -> None:
    parts = shape.face_parts if shape.mesh is not None else shape.point_parts
    if parts is None and not part_names:
        return
    if parts is None:
        raise MeshError("it has no parts, unlike the other shapes of the source")
    known = len(part_names or ())
    if not ((parts >= 0) & (parts < known)).all():
        raise MeshError(f"parts {parts.min()} to {parts.max()}, the source has {known} (from 0)")


def prepare_each(job: ShapeJob, indices: list[int], workers: int) -> Iterator[tuple[int, str | None]]:
    """Prepare the shapes ``indices`` and yield each with its reason for rejection or None, as they finish.

    Args:
        workers: Processes; 0 works in this one.

    Raises:
        RuntimeError: Worker processes do not start at all.
    """
    if workers == 0:
        yield from ((index, job.run(index)) for index in indices)
        return
    todo = deque(indices)
    while todo:
        before = len(todo)
        todo = yield from _in_pool(job, todo, min(workers, before))
        if len(todo) == before:
            raise RuntimeError(
                "worker processes ended as they started; a script that prepares with workers needs the guard "
                "`if __name__ == '__main__':`, or 0 workers"
            )


def _in_pool(
    job: ShapeJob, todo: deque[int], workers: int
) -> Generator[tuple[int, str | None], None, deque[int]]:
    """Work through ``todo`` until it is empty or the pool breaks; return what is left then."""
    spawn = multiprocessing.get_context("spawn")  # forked processes would share OpenMP's state
    flying: dict[Future, int] = {}
    pool = ProcessPool(workers, initializer=_start_worker, initargs=(job,), context=spawn)
    try:
        while todo or flying:
            while todo and len(flying) < 2 * workers:
                with _sigint_blocked():  # for the workers, which this starts
                    future = pool.schedule(_run_in_worker, (todo[0],), timeout=job.limits.seconds)
                flying[future] = todo.popleft()
            for finished in wait(flying, return_when=FIRST_COMPLETED).done:
                index = flying[finished]
                try:
                    reason = finished.result()
                except TimeoutError:
                    reason = job.reject(index, f"took longer than {job.limits.seconds:g} s (--shape-seconds)")
                except ProcessExpired:
                    reason = job.reject(index, KILLED)
                del flying[finished]
                yield index, reason
    except BrokenProcessPool:  # all of its processes died while they had nothing to do
        return deque([*flying.values(), *todo])
    finally:
        pool.stop()
        pool.join()
    return deque()


@contextlib.contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Let processes started meanwhile leave Ctrl-C to this one, where it is raised afterwards."""
    resource_tracker.ensure_running()  # or else the first process that is started starts it, and unblocks
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_job: ShapeJob


def _start_worker(job: ShapeJob) -> None:
    global _job
    _job = job
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # ends it inside a library, too
    if job.limits.memory_gb:
        most = int(job.limits.memory_gb * 1e9)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for library in ("scipy.sparse.csgraph", "scipy.spatial", "trimesh"):
        importlib.import_module(library)  # what geometry imports late, before a shape's time is counted


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()  # type: ignore[union-attr]
    os._exit(1)


def _run_in_worker(index: int) -> str | None:
    return _job.run(index)
