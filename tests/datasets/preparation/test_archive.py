"""Archives are unpacked whole or not at all, and never outside their folder."""

import io
import tarfile
import zipfile

import pytest

from pointmcd.datasets.preparation.archive import fingerprint, is_archive, unpack
from pointmcd.datasets.preparation.sources import SourceError


def write_tar(path, members, mode):
    with tarfile.open(path, mode) as archive:
        for member, data in members:
            if isinstance(member, str):
                member = tarfile.TarInfo(member)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def write_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members:
            archive.writestr(name, data)


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
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub/x").write_text("abc")
    assert fingerprint(tmp_path / "one") == fingerprint(tmp_path / "two")
    (tmp_path / "two/sub/x").write_text("abcd")
    assert fingerprint(tmp_path / "one") != fingerprint(tmp_path / "two")
    assert fingerprint(tmp_path / "one/sub/x") != fingerprint(tmp_path / "two/sub/x")
