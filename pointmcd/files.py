"""Files: written aside and renamed, JSON, hashes. Every writer of the project goes through here."""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def written_aside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; it takes the name ``path`` when all is written.

    The file and its folder are flushed to the disk, so that a reader, or whoever comes after a crash, sees
    the old file or the new one and never a part. Where writing fails, the old file is as it was and no
    temporary file is left.

    Args:
        path: The file to write; its folder is made where it is missing. Of a symbolic link, the target is
            replaced.

    Raises:
        ValueError: There is a folder, a pipe or a device of that name, which a file would take the place of.
        OSError: No file can be made there; the text names ``path``.
    """
    target, temporary, lock = _opened(path)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(lock)
    sync_folder(target.parent)


def check_writable(path: str | os.PathLike[str], *inputs: str | os.PathLike[str]) -> None:
    """Find out before any work whether ``written_aside`` can write a file; nothing is left behind.

    Args:
        path: The file to write.
        inputs: Files that the work reads, which it must not take the place of.

    Raises:
        ValueError, OSError: As ``written_aside``, or it is one of ``inputs``.
    """
    for given in inputs:
        if os.path.exists(path) and os.path.exists(given) and os.path.samefile(path, given):
            raise ValueError(f"{path} is what is read; give another name to what is written")
    missing = [folder for folder in Path(os.path.realpath(path)).parents if not folder.exists()]
    _, temporary, lock = _opened(path)
    temporary.unlink(missing_ok=True)
    os.close(lock)
    with contextlib.suppress(OSError):  # somebody else uses it by now
        for folder in missing:
            folder.rmdir()


@contextlib.contextmanager
def failure_named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let an OSError name what was asked for, and not the temporary file or the lock beside it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"cannot be written ({error.strerror})", str(path)) from None


def _opened(path: str | os.PathLike[str]) -> tuple[Path, Path, int]:
    """Return the file that ``path`` stands for, a name beside it to write to, and the lock of that."""
    target = Path(os.path.realpath(path))
    check_regular(target)
    temporary = target.with_name(f"{target.name}.tmp")
    with failure_named(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(temporary, os.O_CREAT | os.O_RDWR, 0o666)
    if not _is_ours(temporary, lock):  # another process writes the same file: the last one to rename wins
        temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    return target, temporary, lock


def check_regular(path: str | os.PathLike[str]) -> None:
    """Refuse what is there and is not a file: reading a pipe or a device may never end.

    Raises:
        ValueError: It is a folder, a pipe, a socket or a device.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        kind = "a folder" if os.path.isdir(path) else "a pipe or a device"
        raise ValueError(f"{path} is {kind}, not a file")


def _is_ours(path: Path, descriptor: int) -> bool:
    """Take a file for this process until it closes it or ends, so that what a killed one left is used again.

    Returns:
        False where another process has it, has just renamed it, or the file system knows no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:
        return False


def sync_folder(folder: Path) -> None:
    """Flush a folder's list of names to the disk, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network disks refuse it
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write plain values; a reader sees the old file or the new one, never a part."""
    with written_aside(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read plain values.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a file, or not JSON; the text names it.
    """
    check_regular(path)
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises:
        ValueError: It is not a file.
    """
    check_regular(path)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
