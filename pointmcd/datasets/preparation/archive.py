"""Archives of shapes: unpacked safely, and told apart from one another."""

import hashlib
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from pointmcd.datasets.preparation.sources.base import SourceError
from pointmcd.files import file_sha256

ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".zip")


def is_archive(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith(ARCHIVE_SUFFIXES)


def fingerprint(path: Path) -> str:
    """Tells whether a source changed: an archive's SHA-256, or that of a folder's file names and sizes."""
    if path.is_file():
        return file_sha256(path)
    listing = sorted(
        (p.relative_to(path).as_posix(), p.stat().st_size) for p in path.rglob("*") if p.is_file()
    )
    return hashlib.sha256(repr(listing).encode()).hexdigest()


def unpack(archive: Path, target: Path) -> None:
    """Unpacks the regular files of an archive; ``target`` appears only when all of it is there.

    Raises:
        SourceError: the archive is damaged, or has a member that would be written outside ``target``.
    """
    temporary = target.with_name(target.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        for name, file in _regular_files(archive):
            path = temporary / _inside(name, archive)
            path.parent.mkdir(parents=True, exist_ok=True)
            with file, open(path, "wb") as copy:
                shutil.copyfileobj(file, copy)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise SourceError(f"{archive} cannot be unpacked: {error}") from error
    if not temporary.is_dir():
        raise SourceError(f"{archive} holds no files")
    temporary.rename(target)


def _regular_files(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as members:
            for info in members.infolist():
                if not info.is_dir():
                    yield info.filename, members.open(info)
    else:
        with tarfile.open(archive) as members:
            for member in members:
                if member.isfile():
                    yield member.name, members.extractfile(member)


def _inside(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise SourceError(f"{archive} is not safe to unpack: its member {name!r} leaves the folder")
    return path
