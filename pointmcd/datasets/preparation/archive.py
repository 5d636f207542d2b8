"""Archives of shapes: unpacked safely, and told apart from one another."""

import contextlib
import hashlib
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from pointmcd.datasets.preparation.sources.base import Source, SourceError
from pointmcd.datasets.preparation.sources.walk import say, walk
from pointmcd.files import file_sha256

INSTEAD = "unpack it by its own program, and give the folder"
MOST_GROWTH, FREE_BYTES = 100, 1 << 30
"""Text of meshes grows 20-fold, a bomb ten thousand times."""
MOJIBAKE = "\u2551"
ENCRYPTED, PATCH, UTF8_NAME = 0x1 | 0x40, 0x20, 0x800  # bits of a zip member's flags (APPNOTE 4.4.4)
DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError),
    NotImplementedError,  # of zip: a version that is not known
)
READ_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".zip")


def is_archive(path: Path) -> bool:
    """Return whether the file is an archive of a kind that is read, by its name."""
    return path.is_file() and path.name.lower().endswith(ARCHIVE_SUFFIXES)


def check_source(path: Path, source: type[Source] = Source) -> None:
    """Refuse what is neither a folder, nor an archive that is read, nor a file that the source itself reads.

    Args:
        path: What is given as the source.
        source: Whose ``lists`` and ``files`` are suffixes of what it reads.

    Raises:
        SourceError: It is none of them; the message says what to do.
    """
    if source.reads(path) and path.is_file():
        return
    if source.lists:
        raise SourceError(f"{path} is not a list of files ({', '.join(source.lists)})")
    if path.is_dir() or is_archive(path):
        return
    if not path.exists():
        raise SourceError(f"{path} does not exist")
    if not path.is_file():
        raise SourceError(f"{path} is neither a file nor a folder")
    instead = INSTEAD
    if source.files:
        instead = f"the source reads {', '.join(source.files)} itself"
    elif not source.__module__.startswith("pointmcd."):
        instead = f"a source that reads such a file itself says files = ({path.suffix!r},) in its class"
    raise SourceError(
        f"{path} is neither a folder nor a supported archive ({', '.join(ARCHIVE_SUFFIXES)}); {instead}"
    )


def fingerprint(path: Path) -> dict[str, str]:
    """Return what tells whether a source changed.

    Returns:
        ``source_files``, an archive's SHA-256, or that of the names and sizes of a folder's files; of a
        folder also ``source_times``, which covers when they were changed, and files behind links to folders.
    """
    if path.is_file():
        return {"source_files": file_sha256(path)}
    found = list(walk(path))
    sizes = sorted((f.path.as_posix(), f.status.st_size) for f in found if not f.linked)
    times = sorted((f.path.as_posix(), f.status.st_size, f.status.st_mtime_ns) for f in found)
    return {"source_files": _sha256_of(sizes), "source_times": _sha256_of(times)}


def fingerprint_of_list(path: Path, files: Iterable[Path]) -> dict[str, str]:
    """Tell whether a list of files changed, or one of these files.

    Returns:
        ``source_files``, the SHA-256 of the list; ``own_times``, that of the files' names, sizes and when
        they were changed.
    """
    found = []
    for file in files:
        with contextlib.suppress(OSError):  # a file that is missing is rejected
            status = file.stat()
            found.append((file.name, status.st_size, status.st_mtime_ns))
    return {"source_files": file_sha256(path), "own_times": _sha256_of(found)}


def _sha256_of(listing: list[tuple]) -> str:
    return hashlib.sha256(repr(listing).encode("utf-8", "surrogateescape")).hexdigest()


def unpack(archive: Path, target: Path, limited: bool = True) -> None:
    """Unpack the regular files of an archive; ``target`` appears only when all of it is there.

    Args:
        limited: Refuse what grows to more than ``MOST_GROWTH`` times the archive's size and ``FREE_BYTES``.

    Raises:
        SourceError: The archive is damaged, too large, in a form that is not read, or has a member that would
            be written outside ``target``.
    """
    temporary = target.with_name(target.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    room = FREE_BYTES + MOST_GROWTH * archive.stat().st_size if limited else None
    try:
        for name, file in _regular_files(archive):
            path = temporary / _inside(name, archive)
            path.parent.mkdir(parents=True, exist_ok=True)
            with file, open(path, "xb") as copy:
                room = _copy(file, copy, room, archive)
        if not temporary.is_dir():
            raise SourceError(f"{archive} holds no files")
    except FileExistsError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise SourceError(f"{archive} holds {Path(error.filename).name} twice, in one folder") from None
    except DAMAGED as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise SourceError(f"{archive} cannot be unpacked: {error}") from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    temporary.rename(target)


def _copy(file: IO[bytes], copy: IO[bytes], room: int | None, archive: Path) -> int | None:
    """Copy a member and return how many bytes may follow; an archive's own sizes are not believed."""
    while block := file.read(1 << 20):
        if room is not None:
            room -= len(block)
            if room < 0:
                raise SourceError(
                    f"{archive} unpacks to more than {MOST_GROWTH} times its size; if that is right, add "
                    "--any-archive-size"
                )
        copy.write(block)
    return room


def _regular_files(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Return names and contents of the members that are files; of links what they name in the archive."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as members:
            for info in members.infolist():
                if not info.is_dir():
                    yield _zip_name(info, archive), members.open(info)
    else:
        left_out = []
        with tarfile.open(archive) as members:
            for member in members:
                if member.isdir():
                    continue
                name = _checked_text(member.name, archive)
                if (content := _content(members, member)) is not None:
                    yield name, content
                else:
                    left_out.append(name)
        say(left_out, f"member(s) of {archive.name} are left out: devices, or links to what is no file in it")


def _content(members: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes] | None:
    """Return the content of a file, or of the file in the same archive that a link names."""
    try:
        return members.extractfile(member) if member.isreg() or member.islnk() or member.issym() else None
    except (KeyError, RecursionError):  # a link out of the archive, or to itself
        return None


NAMES_OF_METHODS: dict[int, str] = getattr(zipfile, "compressor_names", {})  # not in its documentation


def _zip_name(info: zipfile.ZipInfo, archive: Path) -> str:
    """Return the name of a member that can be read."""
    if info.flag_bits & ENCRYPTED:
        raise SourceError(f"{archive} is encrypted; {INSTEAD}")
    if info.flag_bits & PATCH:
        raise SourceError(f"{archive} has patches of other files, which are not supported; {INSTEAD}")
    if info.compress_type not in READ_METHODS:
        method = NAMES_OF_METHODS.get(info.compress_type, f"method {info.compress_type}")
        raise SourceError(f"{archive} is compressed by {method}, which is not supported; {INSTEAD}")
    name = info.filename
    if not info.flag_bits & UTF8_NAME and not name.isascii():
        try:  # macOS and Info-ZIP write UTF-8 without saying so
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            name = MOJIBAKE
    if any("\u2500" <= letter <= "\u259f" for letter in name):  # frames, of bytes read as DOS text
        raise SourceError(
            f"{archive} has names that are not UTF-8 (such as {info.filename!r}), in an encoding that it "
            f"does not state; {INSTEAD}"
        )
    return name


def _checked_text(name: str, archive: Path) -> str:
    if not name.isprintable() and any("\udc80" <= letter <= "\udcff" for letter in name):
        shown = name.encode("utf-8", "replace").decode()
        raise SourceError(f"{archive} has names that are not UTF-8 (such as {shown!r}); {INSTEAD}")
    return name


def _inside(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise SourceError(f"{archive} is not safe to unpack: its member {name!r} leaves the folder")
    return path
