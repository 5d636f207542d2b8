"""Walking through the folders of a source: links are followed, and what is passed over is said."""

import os
import stat
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pointmcd.datasets.preparation.sources.base import SourceError

NAMES_SHOWN = 5


class Found(NamedTuple):
    """A file beneath a folder."""

    path: Path  # relative to the folder
    status: os.stat_result
    linked: bool  # whether a folder on the way to it is a link


def walk(folder: Path) -> Iterator[Found]:
    """Return all files beneath a folder. A link to a folder that it lies in is not followed.

    Raises:
        SourceError: There is something that is neither a file nor a folder, and would never end.
    """
    yield from _walk(folder, Path(), (), False)


def _walk(root: Path, within: Path, above: tuple[tuple[int, int], ...], linked: bool) -> Iterator[Found]:
    here = (root / within).stat()
    identity = here.st_dev, here.st_ino
    if identity in above:
        return
    with os.scandir(root / within) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        path = within / entry.name
        try:
            status = entry.stat()
        except OSError:  # a link to nothing
            continue
        if stat.S_ISDIR(status.st_mode):
            yield from _walk(root, path, (*above, identity), linked or entry.is_symlink())
        elif stat.S_ISREG(status.st_mode):
            yield Found(path, status, linked)
        else:
            raise SourceError(f"{root / path} is neither a file nor a folder; take it out of the source")


def visible_folders(folder: Path) -> list[Path]:
    """Return subfolders, without hidden ones and without what macOS adds to archives."""
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))


def first_rank() -> bool:
    """Return whether this is the first of the processes that torchrun started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def say(names: list[str], what: str) -> None:
    """Print how many there are, what of them, and the first names; by the first process alone."""
    if names and first_rank():
        print(f"{len(names)} {what}: {some_of(names)}", file=sys.stderr)


def say_passed_over(files: list[str]) -> None:
    """Print which files were not read; by the first process alone."""
    if files and first_rank():
        print(passed_over(files), file=sys.stderr)


def passed_over(files: list[str]) -> str:
    """Return which files were not read, by their suffixes."""
    suffixes = Counter(Path(file).suffix.lower() or "without suffix" for file in files)
    counts = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(NAMES_SHOWN))
    one, more = "file of a format that is not read is", "files of formats that are not read are"
    return f"{len(files)} {one if len(files) == 1 else more} passed over ({counts}): {some_of(files)}"


def some_of(names: list[str]) -> str:
    """Return the first of some names, and that there are more where there are."""
    return ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
