"""Folders of arrays: written by one process at a time, put in place as a whole, hashed and checked."""

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import json
import os
import resource
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pointmcd.files import check_regular, failure_named, file_sha256, sync_folder

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)  # of some network disks


class BusyError(ValueError):
    """Another process writes there."""


class DamagedError(ValueError):
    """A file is missing, or is not as it was written; the message names it."""


class Lock:
    """A lock file, held until ``release`` or until nobody refers to it, so that two do not write the same.

    Args:
        path: The file; made where it is missing.
        what: What is written, for the message.

    Raises:
        BusyError: Another process holds it.
    """

    def __init__(self, path: Path, what: str | os.PathLike[str]) -> None:
        with failure_named(what):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._path, self._file = path, open(path, "w")  # noqa: SIM115 - closing it gives the lock back
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it before may have removed the file in between.
            free = path.exists() and os.path.samestat(path.stat(), os.fstat(self._file.fileno()))
        except BlockingIOError:
            free = False
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            free = True
        if not free:
            self._file.close()
            raise BusyError(f"another run is using {what}; wait for it, or end it")

    def release(self) -> None:
        """Remove the file and give the lock back."""
        self._path.unlink(missing_ok=True)
        self._file.close()


@contextlib.contextmanager
def sole_writer(path: Path, what: str | os.PathLike[str]) -> Iterator[None]:
    """Hold a `Lock`."""
    lock = Lock(path, what)
    try:
        yield
    finally:
        lock.release()


def replace_folder(new: Path, target: Path) -> None:
    """Put a finished folder in place; what was there is removed.

    Where the file system can, both change their names in one step, so that a run that is killed leaves the
    old one or the new. Elsewhere the old one is for a moment beside it, as ``.NAME.old``.
    """
    for path in new.rglob("*"):
        if path.is_file():
            _flush(path)
    if not target.exists() or not any(target.iterdir()):
        new.rename(target)
    elif _exchanged(new, target):
        shutil.rmtree(new)
    else:
        aside = target.with_name(f".{target.name}.old")
        shutil.rmtree(aside, ignore_errors=True)
        target.rename(aside)
        new.rename(target)
        shutil.rmtree(aside)
    sync_folder(target.parent)


def _flush(path: Path) -> None:
    with open(path, "rb") as file, contextlib.suppress(OSError):  # some network disks refuse it
        os.fsync(file.fileno())


def _exchanged(one: Path, other: Path) -> bool:
    """Return whether the two changed their names; the C library may not know how, nor the file system."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    rename.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0


def create_array(path: Path, dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Create an array on disk to write to, memory-mapped, its space reserved.

    Without that a full disk would end the process with a bus error at some later assignment.

    Raises:
        OSError: There is no room for it.
    """
    array = np.lib.format.open_memmap(path, "w+", np.dtype(dtype), shape)
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                    raise OSError(error.errno, error.strerror, str(path)) from None
    return array


def open_array(path: Path, dtype: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """Map an array for reading, and check that it is the one that is expected.

    Args:
        path: A ``.npy`` file.
        dtype: As ``np.dtype`` takes it, or ``"u"`` for any unsigned integers.
        shape: None stands for any size.

    Raises:
        DamagedError: It is missing, damaged, or another array.
    """
    try:
        check_regular(path)
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        actual, of_type = array.shape, array.dtype
    except FileNotFoundError:
        raise DamagedError(f"{path} is missing") from None
    except Exception as error:  # whatever stands in the header, numpy evaluates it
        raise DamagedError(f"{path} is damaged: {type(error).__name__}: {error}") from None
    fits = len(actual) == len(shape) and all(w in (None, a) for a, w in zip(actual, shape, strict=True))
    if not fits or (of_type.kind != "u" if dtype == "u" else of_type != np.dtype(dtype)):
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise DamagedError(
            f"{path} is damaged: it holds {of_type} {actual}, expected "
            f"{'unsigned integers' if dtype == 'u' else dtype} ({wanted})"
        )
    return array


def allow_open_files() -> None:
    """Let this process open as many files as it may: a memory map keeps its file open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def read_file(path: Path) -> bytes | None:
    """Read a small file; None where there is none, or something else (a pipe, a folder) of that name."""
    try:
        return path.read_bytes() if path.is_file() else None
    except FileNotFoundError:
        return None


def parse_object(text: bytes, path: Path, *versions: int) -> dict[str, Any]:
    """Parse what a JSON file holds, an object that states its ``format_version``.

    Args:
        text: What the file holds.
        path: The file, for messages.
        versions: The formats that are read.

    Raises:
        DamagedError: It is no such object, or of another version.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path} is damaged ({error})") from None
    if not isinstance(values, dict):
        raise DamagedError(f"{path} is damaged (it is not a JSON object)")
    if (found := values.get("format_version")) not in versions:
        read = " and ".join(map(str, versions))
        raise DamagedError(f"{path.parent} has format {found}, this version of pointmcd reads {read}")
    return values


def check_name(name: str, what: str) -> str:
    """Refuse a name that is not a name of a folder, or of a hidden one.

    Raises:
        ValueError: It is empty, begins with a dot or holds a slash.
    """
    if not name or name.startswith(".") or set(name) & set("/\\\0\n"):
        raise ValueError(f"{what} is {name!r}; it needs a plain name, such as mobilenetv2")
    return name


def digest_of(values: Mapping[str, Any], without: tuple[str, ...] = ()) -> str:
    """Return the SHA-256 of plain values, but for some keys."""
    kept = {key: value for key, value in values.items() if key not in without}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def describe_files(folder: Path, files: Iterator[Path] | list[Path]) -> dict[str, dict[str, Any]]:
    """Return the size and SHA-256 of files, by their paths within ``folder``."""
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for path in files
    }


def check_sizes(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare the files' sizes with what `describe_files` said.

    Raises:
        DamagedError: One differs or is missing.
    """
    plain = isinstance(files, dict) and all(
        isinstance(entry, dict) and {"bytes", "sha256"} <= entry.keys() for entry in files.values()
    )
    if not plain:
        raise DamagedError(f"{folder} is damaged: its list of files is none")
    for name, entry in files.items():
        if ".." in name.split("/") or name.startswith("/"):
            raise DamagedError(f"{folder} lists {name}, which is not in it")
        size = _size_of_file(f"{folder}/{name}")  # text: a set of shards has thousands
        if size != entry["bytes"]:
            found = "is missing" if size is None else f"has {size} bytes instead of {entry['bytes']}"
            raise DamagedError(f"{folder / name} {found}")


def _size_of_file(path: str) -> int | None:
    """Return its bytes; None where there is none, or something else (a pipe, a folder) of that name."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def check_hashes(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Read all files and compare their hashes with what `describe_files` said.

    Raises:
        DamagedError: One differs or is missing.
    """
    check_sizes(folder, files)
    for name, entry in files.items():
        if (actual := file_sha256(folder / name)) != entry["sha256"]:
            raise DamagedError(
                f"{folder / name} was changed: its SHA-256 is {actual[:16]}, expected {entry['sha256'][:16]}"
            )
