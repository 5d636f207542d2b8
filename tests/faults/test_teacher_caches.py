"""A teacher's cache that is damaged, replaced or half-written."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mutations import mutations

from pointmcd.commands import cache_teacher, prepare_data
from pointmcd.datasets.teacher_cache import TeacherCache, TeacherCacheWriter
from pointmcd.folders import BusyError

ROWS = {"view_descriptors": (4, 8), "descriptor": (8,), "logits": (4,), "view_logits": (4, 4)}


@pytest.fixture
def root(tiny_set: Path, tmp_path: Path) -> Path:
    root = shutil.copytree(tiny_set, tmp_path / "set")
    write(root, 0)
    return root


def write(root: Path, value: float, name: str = "small") -> None:
    with TeacherCacheWriter(root, name) as writer:
        write_splits(writer, value)
        writer.finish({"accuracy": {}})


def write_splits(writer: TeacherCacheWriter, value: float) -> None:
    for split in writer.prepared.splits:
        count = len(writer.prepared.split(split))
        generator = torch.Generator().manual_seed(int(value))
        rows = {key: torch.rand(count, *shape, generator=generator) for key, shape in ROWS.items()}
        writer.write_split(split, [rows])


def test_every_damage_is_noticed_in_one_message_that_names_the_file(root):
    folder, tried = root / "teachers/small", 0
    for path in sorted(folder.iterdir()):
        for how in mutations(path):
            with pytest.raises((ValueError, FileNotFoundError)) as error:
                TeacherCache(root, "small").verify()
            named = path.name in str(error.value) or path.name == "meta.json"
            assert named, f"{path.name}, {how}: {error.value}"
            assert "pointmcd cache-teacher" in str(error.value), how
            tried += 1
    assert tried > 150
    assert TeacherCache(root, "small").verify()


@pytest.mark.parametrize("key", ["channels", "splits", "data_digest", "files", "accuracy"])
def test_meta_that_is_nonsense(root, key):
    path = root / "teachers/small/meta.json"
    meta = json.loads(path.read_text())
    del meta["meta_sha256"]  # as of an earlier version
    for value in (None, "x", ["x"], {"x": "y"}):
        path.write_text(json.dumps(meta | {key: value}))
        if (key, value) != ("files", None):
            with pytest.raises(ValueError, match=r"."):
                TeacherCache(root, "small")


def test_caches_of_earlier_versions_open(root, capsys):
    path = root / "teachers/small/meta.json"
    meta = json.loads(path.read_text())
    path.write_text(json.dumps({key: meta[key] for key in meta if key not in ("files", "meta_sha256")}))
    cache = TeacherCache(root, "small")
    assert cache.split("train").rows(np.arange(3)).keys() == ROWS.keys()
    assert not cache.verify()
    np.save(path.parent / "test_descriptor.npy", np.zeros((5, 8), np.float16))
    with pytest.raises(ValueError, match=r"test_descriptor.npy is damaged: it holds float16 \(5, 8\)"):
        TeacherCache(root, "small")


def test_check_reads_all_of_it(root, capsys):
    folder = root / "teachers/small"
    cache_teacher.main(["--check", str(folder)])
    prepare_data.main(["--check", str(root)])
    assert capsys.readouterr().out.count(f"{folder} is whole") == 2
    with pytest.raises(SystemExit, match=r"set is no cache of a teacher; give DATA/teachers/NAME"):
        cache_teacher.main(["--check", str(root)])
    array = folder / "train_logits.npy"
    array.write_bytes(array.read_bytes()[:-1] + b"?")
    for check in (cache_teacher.main, prepare_data.main):
        with pytest.raises(SystemExit, match=r"train_logits.npy was changed"):
            check(["--check", str(folder if check is cache_teacher.main else root)])


def test_writing_that_ends_early_leaves_the_old_cache_and_nothing_else(root):
    whole = TeacherCache(root, "small").split("train").rows(np.arange(24))
    with pytest.raises(ValueError, match="11 rows for test"), TeacherCacheWriter(root, "small") as writer:
        writer.write_split("test", [{"view_descriptors": torch.zeros(11, 4, 8)}])
    assert [path.name for path in (root / "teachers").iterdir()] == ["small"]
    killed = TeacherCacheWriter(root, "small")
    write_splits(killed, 1)
    del killed  # its lock goes with the process, its files stay
    (root / "teachers/.smaller.7.tmp").mkdir()  # of another cache
    torch.testing.assert_close(TeacherCache(root, "small").split("train").rows(np.arange(24)), whole)
    write(root, 2)
    assert sorted(path.name for path in (root / "teachers").iterdir()) == [".smaller.7.tmp", "small"]
    new = TeacherCache(root, "small").split("train").rows(np.arange(24))
    assert not torch.equal(new["logits"], whole["logits"])


def test_a_cache_moved_aside_comes_back(root):
    """Where a file system cannot change two names at once, a kill may come between."""
    teachers = root / "teachers"
    (teachers / "small").rename(teachers / ".small.old")
    with TeacherCacheWriter(root, "small"):
        pass
    assert TeacherCache(root, "small").verify()


def test_two_writers_at_once(root):
    with TeacherCacheWriter(root, "small"):
        with pytest.raises(BusyError, match=r"another run is using .*teachers/small"):
            TeacherCacheWriter(root, "small")
        write(root, 0, "other")


def test_a_reader_keeps_the_old_cache_or_stops(root):
    split = TeacherCache(root, "small").split("test")
    before, packed = split.rows(np.arange(12)), pickle.dumps(split)
    torch.testing.assert_close(pickle.loads(packed).rows(np.arange(12)), before)
    write(root, 1)
    torch.testing.assert_close(split.rows(np.arange(12)), before)
    with pytest.raises(ValueError, match="was replaced by another cache meanwhile"):
        pickle.loads(packed)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../other", "/tmp/x", ".hidden", "a\\b", "a\nb"])
def test_names_that_are_none(root, name):
    before = sorted(path for path in root.rglob("*"))
    for opened in (TeacherCacheWriter, TeacherCache):
        with pytest.raises(ValueError, match="the name of the cache is"):
            opened(root, name)
    assert sorted(path for path in root.rglob("*")) == before
