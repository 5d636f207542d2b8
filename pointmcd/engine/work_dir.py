"""The folder of a training: one training at a time, and the newest checkpoint in it that can be read."""

import contextlib
import errno
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pointmcd.checkpoint import read_checkpoint
from pointmcd.engine.agreement import config_of
from pointmcd.files import written_aside

INTERRUPTED = "interrupted.pth"
LAST = "last_checkpoint"
LOCK = "training.lock"
STUMP = re.compile(rf"(.*\.pth|{LAST})(\.\d+)?\.tmp")

_held: set[Path] = set()
"""Folders in which this process trains."""


@contextlib.contextmanager
def sole_training(work_dir: str | Path) -> Iterator[None]:
    """Hold a folder, so that no second training writes into it; what a killed one left half-written goes.

    The lock goes with the process, however that ends.

    Raises:
        ValueError: Another training holds it.
    """
    folder = Path(work_dir)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, "a+") as file:
        _lock(file, folder)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        for path in folder.iterdir():
            if STUMP.fullmatch(path.name):
                path.unlink(missing_ok=True)
        _held.add(folder.resolve())
        try:
            yield
        finally:
            _held.discard(folder.resolve())


def check_free(work_dir: str | Path) -> None:
    """Refuse a folder where another process trains, before anything is written into it.

    Raises:
        ValueError: It does.
    """
    folder = Path(work_dir)
    # whoever closes a file loses all locks that its process has on it
    if (folder / LOCK).is_file() and folder.resolve() not in _held:
        with open(folder / LOCK, "a+") as file:
            _lock(file, folder)


def check_unfinished(work_dir: str | Path) -> None:
    """Refuse a folder whose training came to its end: one that starts anew would write over it.

    Raises:
        ValueError: The newest checkpoint there is of its last epoch or step, or was tested.
    """
    folder = Path(work_dir)
    newest, _ = newest_checkpoint(folder, refuse=False)
    if newest is None:
        return
    meta = read_checkpoint(newest).get("meta")
    meta = meta if isinstance(meta, dict) else {}
    length = config_of({"meta": meta}).get("train_cfg")
    length = length if isinstance(length, dict) else {}
    finished = meta.get("finished") is True or any(
        isinstance(most := length.get(f"max_{unit}s"), int) and meta.get(unit, 0) >= most
        for unit in ("epoch", "iter")
    )
    if finished or any(folder.glob(f"test_{newest.stem}*.json")):
        raise ValueError(
            f"{folder} holds a {'finished' if finished else 'tested'} training ({newest.name}); give another "
            "--work-dir, or --resume to go on from it"
        )


def _lock(file: IO[str], folder: Path) -> None:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # unlike flock's, not inherited by workers
    except BlockingIOError:
        file.seek(0)
        raise ValueError(
            f"another training (process {file.read().strip() or 'unknown'}) is using {folder}; wait "
            "for it, or give this one another --work-dir"
        ) from None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):  # disks without locks
            raise


def newest_checkpoint(work_dir: str | Path, refuse: bool = True) -> tuple[Path | None, list[str]]:
    """Return the newest checkpoint of a training that can be read.

    Args:
        work_dir: Its folder.
        refuse: Refuse a folder in which no checkpoint can be read.

    Returns:
        The file, None where the training has stored none yet; and a line for each newer one that cannot be
        read.

    Raises:
        ValueError: There are checkpoints, and none can be read.
    """
    unreadable = []
    for path in _candidates(Path(work_dir)):
        try:
            read_checkpoint(path)
        except (ValueError, FileNotFoundError) as error:
            unreadable.append(str(error))
        else:
            return path, unreadable
    if unreadable and refuse:
        lines = "\n".join(unreadable)
        raise ValueError(f"no checkpoint in {work_dir} can be read; train again without --resume:\n{lines}")
    return None, unreadable


def note_last(work_dir: str | Path, checkpoint: str | Path) -> None:
    """Write down which checkpoint is the last."""
    with written_aside(Path(work_dir, LAST)) as temporary:
        temporary.write_text(str(checkpoint))


def _candidates(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder, the newest first: the last noted one, but for later ones."""
    found = {path: path.stat().st_mtime_ns for path in folder.glob("*.pth") if _number(path) is not None}
    noted = _noted(folder)
    if noted is not None and noted.is_file():
        found.setdefault(noted, noted.stat().st_mtime_ns)
    ordered = sorted(found, key=lambda path: (found[path], _number(path) or 0), reverse=True)
    if noted not in found or noted is None:
        return ordered
    later = [p for p in ordered if found[p] > found[noted] and (_number(p) or 0) > (_number(noted) or 0)]
    return [*later, noted, *(path for path in ordered if path != noted and path not in later)]


def _noted(folder: Path) -> Path | None:
    """Return what the last checkpoint is said to be, also where the folder was moved since."""
    try:
        noted = Path((folder / LAST).read_text().strip())
    except (OSError, UnicodeDecodeError):
        return None
    beside = folder / noted.name
    return beside if beside.is_file() else noted


def _number(path: Path) -> float | None:
    """Return N of ``epoch_N.pth`` and ``iter_N.pth``, infinity where a signal made it, None of others."""
    if path.name == INTERRUPTED:
        return float("inf")
    found = re.fullmatch(r"(?:epoch|iter)_(\d+)\.pth", path.name)
    return float(found[1]) if found else None
