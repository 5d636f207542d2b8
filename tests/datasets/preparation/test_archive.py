"""Archives are unpacked whole or not at all, and never outside their folder."""

import hashlib
import io
import os
import shutil
import struct
import tarfile
import zipfile

import pytest

from pointmcd.datasets.preparation import archive
from pointmcd.datasets.preparation.archive import check_source, fingerprint, is_archive, unpack
from pointmcd.datasets.preparation.sources import SourceError


def write_tar(path, members, mode):
    with tarfile.open(path, mode) as members_of:
        for member, data in members:
            if isinstance(member, str):
                member = tarfile.TarInfo(member)
            member.size = len(data)
            members_of.addfile(member, io.BytesIO(data))


def write_zip(path, members):
    with zipfile.ZipFile(path, "w") as members_of:
        for name, data in members:
            members_of.writestr(name, data)


MEMBERS = [("top/a/x.off", b"one"), ("top/b.txt", b"two" * 1000)]


@pytest.mark.parametrize("name", ["s.tar.xz", "s.tar.gz", "s.tgz", "s.tar", "s.zip"])
def test_unpack(tmp_path, name):
    path = tmp_path / name
    if name.endswith("zip"):
        write_zip(path, MEMBERS)
    else:
        write_tar(
            path, MEMBERS, {"xz": "w:xz", "gz": "w:gz", "tgz": "w:gz", "tar": "w"}[name.rsplit(".")[-1]]
        )
    assert is_archive(path)
    unpack(path, tmp_path / "out")
    for member, data in MEMBERS:
        assert (tmp_path / "out" / member).read_bytes() == data


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "..\\evil", "C:/evil"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_members_that_leave_the_folder_are_refused(tmp_path, name, kind):
    path = tmp_path / "in" / f"s.{kind}"
    path.parent.mkdir()
    members = [("good", b"1"), (name, b"2")]
    write_zip(path, members) if kind == "zip" else write_tar(path, members, "w")
    with pytest.raises(SourceError, match="not safe to unpack"):
        unpack(path, tmp_path / "in" / "out")
    assert not (tmp_path / "in" / "out").exists()
    assert not list(tmp_path.rglob("evil"))


def test_links_are_not_followed(tmp_path):
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
    write_tar(tmp_path / "s.tar", [(link, b""), ("link/x", b"1")], "w")
    unpack(tmp_path / "s.tar", tmp_path / "out")
    assert not (tmp_path / "out" / "link").is_symlink()
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_links_within_an_archive_are_the_files_that_they_name(tmp_path, capsys, mode):
    """As tar writes a folder in which a file has two names."""
    first, hard, soft, gone, own = map(tarfile.TarInfo, ("a/x", "a/hard", "b/soft", "b/gone", "b/own"))
    hard.type, hard.linkname = tarfile.LNKTYPE, "a/x"
    for link, target in ((soft, "../a/x"), (gone, "/etc/hostname"), (own, "own")):
        link.type, link.linkname = tarfile.SYMTYPE, target
    members = [(soft, b""), (first, b"one"), (hard, b""), (gone, b""), (own, b"")]
    write_tar(tmp_path / "s.tar", members, mode)
    unpack(tmp_path / "s.tar", tmp_path / "out")
    found = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert [path.relative_to(tmp_path / "out").as_posix() for path in found] == ["a/hard", "a/x", "b/soft"]
    assert all(path.read_bytes() == b"one" and not path.is_symlink() for path in found)
    assert "2 member(s) of s.tar are left out: devices, or links to what is no file in it: b/gone, b/own" in (
        capsys.readouterr().err
    )


def test_damaged_and_empty_archives(tmp_path):
    whole = tmp_path / "s.tar.gz"
    write_tar(whole, MEMBERS, "w:gz")
    (tmp_path / "half.tar.gz").write_bytes(whole.read_bytes()[:60])
    (tmp_path / "text.zip").write_text("no archive")
    write_tar(tmp_path / "empty.tar", [], "w")
    for name, message in [
        ("half.tar.gz", "unpacked"),
        ("text.zip", "unpacked"),
        ("empty.tar", "holds no files"),
    ]:
        with pytest.raises(SourceError, match=message):
            unpack(tmp_path / name, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_fingerprint_tells_changes_not_places(tmp_path):
    folder = tmp_path / "one"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/x").write_text("abc")
    before = fingerprint(folder)
    assert fingerprint(shutil.copytree(folder, tmp_path / "two")) == before
    assert fingerprint(folder.rename(tmp_path / "moved")) == before
    changed = tmp_path / "two/sub/x"
    changed.write_text("abx")  # of the same size
    of_same_size = fingerprint(tmp_path / "two")
    assert of_same_size["source_files"] == before["source_files"]
    assert of_same_size["source_times"] != before["source_times"]
    changed.write_text("abcd")
    assert fingerprint(tmp_path / "two")["source_files"] != before["source_files"]
    assert fingerprint(changed) == {"source_files": hashlib.sha256(b"abcd").hexdigest()}


def test_links_count_as_what_they_point_to(tmp_path):
    """A class folder may be a link; a link up to where it lies is left, and one to nothing."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/x.off").write_text("abc")
    root = tmp_path / "source"
    root.mkdir()
    (root / "up").symlink_to(root)
    (root / "broken").symlink_to(tmp_path / "nothing")
    empty = fingerprint(root)
    (root / "chair").symlink_to(tmp_path / "elsewhere")
    linked = fingerprint(root)
    assert linked["source_files"] == empty["source_files"]  # as sets of earlier versions have it
    assert linked["source_times"] != empty["source_times"]
    (tmp_path / "elsewhere/x.off").write_text("abd")
    assert fingerprint(root)["source_times"] != linked["source_times"]


def test_what_never_ends_is_refused(tmp_path):
    os.mkfifo(tmp_path / "x.off")
    with pytest.raises(SourceError, match=r"x.off is neither a file nor a folder"):
        fingerprint(tmp_path)
    with pytest.raises(SourceError, match=r"x.off is neither a file nor a folder"):
        check_source(tmp_path / "x.off")
    for name in ("a.7z", "a.rar"):
        (tmp_path / name).write_text("")
        with pytest.raises(SourceError, match=r"nor a supported archive .*unpack it by its own program"):
            check_source(tmp_path / name)
    with pytest.raises(SourceError, match="nowhere does not exist"):
        check_source(tmp_path / "nowhere")


def test_archives_that_grow_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "FREE_BYTES", 1 << 16)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for number in range(4):
            bomb.writestr(f"a/{number}.off", bytes(1 << 20))
    with pytest.raises(SourceError, match=r"more than 100 times its size; .*--any-archive-size"):
        unpack(path, tmp_path / "out")
    assert [found.name for found in tmp_path.iterdir()] == ["bomb.zip"]
    unpack(path, tmp_path / "out", limited=False)
    assert (tmp_path / "out/a/3.off").stat().st_size == 1 << 20


def zip_bytes(name: bytes, flags: int = 0, method: int = 0) -> bytes:
    """A zip with one empty member, of this name, these flags and this method (APPNOTE 4.3)."""
    middle = struct.pack("<5H3I2H", 20, flags, method, 0, 33, 0, 0, 0, len(name), 0)
    local = b"PK\3\4" + middle + name
    entry = b"PK\1\2" + struct.pack("<H", 20) + middle + struct.pack("<3H2I", 0, 0, 0, 0, 0) + name
    return local + entry + b"PK\5\6" + struct.pack("<4H2IH", 0, 0, 1, 1, len(entry), len(local), 0)


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (zip_bytes("桌/x".encode("gbk")), "names that are not UTF-8"),
        (zip_bytes("╫└/x".encode(), 0x800), "names that are not UTF-8"),
        (zip_bytes(b"x", 0x1), "is encrypted"),
        (zip_bytes(b"x", 0x40), "is encrypted"),
        (zip_bytes(b"x", 0x20), "has patches of other files"),
        (zip_bytes(b"x", 0, 9), "is compressed by deflate64"),
        (zip_bytes(b"x", 0, 93), "is compressed by"),
    ],
)
def test_zips_that_cannot_be_read(tmp_path, data, cause):
    (tmp_path / "s.zip").write_bytes(data)
    with pytest.raises(SourceError, match=r"s.zip (is|has) .*; unpack it by its own program") as error:
        unpack(tmp_path / "s.zip", tmp_path / "out")
    assert cause in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_names_in_utf8_that_do_not_say_so(tmp_path):
    """As macOS and Info-ZIP write them."""
    (tmp_path / "s.zip").write_bytes(zip_bytes("桌/ü.off".encode()))
    unpack(tmp_path / "s.zip", tmp_path / "out")
    assert (tmp_path / "out/桌/ü.off").is_file()


def test_a_tar_with_devices_and_names_of_another_encoding(tmp_path):
    device = tarfile.TarInfo("null")
    device.type, device.devmajor, device.devminor = tarfile.CHRTYPE, 1, 3
    pipe = tarfile.TarInfo("pipe")
    pipe.type = tarfile.FIFOTYPE
    write_tar(tmp_path / "s.tar", [(device, b""), (pipe, b""), ("x", b"1")], "w")
    unpack(tmp_path / "s.tar", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["x"]
    with tarfile.open(tmp_path / "g.tar", "w", format=tarfile.GNU_FORMAT, encoding="gbk") as members:
        members.addfile(tarfile.TarInfo("桌/x.off"))
    with pytest.raises(SourceError, match="names that are not UTF-8"):
        unpack(tmp_path / "g.tar", tmp_path / "other")
