"""Files written aside: what a reader finds, and what is left."""

import os
import signal
import stat
import subprocess
import sys

import pytest

from pointmcd.files import check_writable, file_sha256, read_json, write_json, written_aside


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.txt", {"no plain value": object()})
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]


def test_what_a_killed_writer_left_is_used_again(tmp_path):
    program = (
        "import os, signal, sys\n"
        "from pointmcd.files import written_aside\n"
        "with written_aside(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.json")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == ["a.json.tmp"]
    write_json(tmp_path / "a.json", 1)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.json", "1\n")]


def test_a_check_names_the_path_that_was_asked_for_and_leaves_nothing(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    check_writable(tmp_path / "a.txt")
    check_writable(tmp_path / "in/two/b.txt")
    assert [path.name for path in tmp_path.rglob("*")] == ["a.txt"]
    for write in (check_writable, lambda path: write_json(path, 1)):
        with pytest.raises(OSError, match="cannot be written") as refused:
            write(tmp_path / "a.txt/c.json")
        assert refused.value.filename == str(tmp_path / "a.txt/c.json")
    assert (tmp_path / "a.txt").read_text() == "old"


def test_nothing_is_written_over_what_is_read(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")
    with pytest.raises(ValueError, match=r"link\.txt is what is read"):
        check_writable(tmp_path / "link.txt", "random:0", tmp_path / "a.txt")
    check_writable(tmp_path / "b.txt", tmp_path / "a.txt")


def test_two_writers_of_a_file_do_not_mix(tmp_path):
    with written_aside(tmp_path / "a.txt") as first:
        first.write_text("first")
        with written_aside(tmp_path / "a.txt") as second:
            assert second != first
            second.write_text("second")
        assert (tmp_path / "a.txt").read_text() == "second"
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "first")]


def test_a_link_keeps_pointing_where_it_did(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link.json").symlink_to(tmp_path / "there" / "real.json")
    write_json(tmp_path / "link.json", {"a": 1})
    assert os.path.islink(tmp_path / "link.json")
    assert (tmp_path / "there" / "real.json").read_text() == '{\n "a": 1\n}\n'


def test_what_is_no_file_is_neither_waited_for_nor_replaced(tmp_path):
    """Opening a pipe to read waits for a writer; as root a rename would put a file in a device's place."""
    os.mkfifo(tmp_path / "pipe")
    for read in (read_json, file_sha256):
        for path in (tmp_path / "pipe", tmp_path, "/dev/zero"):
            with pytest.raises(ValueError, match=f"{path} is a (folder|pipe or a device), not a file"):
                read(path)
    for path in (tmp_path / "pipe", "/dev/null"):
        with pytest.raises(ValueError, match="is a pipe or a device, not a file"):
            write_json(path, {})
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
