"""A prepared set that is damaged, replaced, or has no room."""

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from mutations import mutations

from pointmcd.datasets.prepared_set import MANIFEST, PreparedSet, PreparedSetError, manifest_digest
from pointmcd.folders import BusyError, Lock, create_array, replace_folder


@pytest.fixture
def root(parts_set: Path, tmp_path: Path) -> Path:
    return shutil.copytree(parts_set, tmp_path / "set", ignore=shutil.ignore_patterns("teachers"))


def read_all(root: Path) -> None:
    prepared = PreparedSet(root)
    for split in map(prepared.split, prepared.splits):
        for images in (split.views, split.part_views, split.depths):
            images.read(len(split) - 1, prepared.num_views - 1)
        assert len(split.names) == len(split)


def test_every_damage_is_noticed_in_one_message_that_names_the_file(root):
    tried = 0
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        for how in mutations(path):
            with pytest.raises(PreparedSetError) as error:
                PreparedSet(root).verify()
            named = path.name in str(error.value) or path.parent == root
            assert named, f"{path.name}, {how}: {error.value}"
            assert "pointmcd prepare" in str(error.value), how
            tried += 1
    assert tried > 300
    PreparedSet(root).verify()


def test_a_header_that_lies_is_noticed_on_opening(root):
    """The files' sizes stay, so that nothing but the headers can tell."""
    points = root / "train/points.npy"
    whole = points.read_bytes()
    for old, new in (
        (b"<f4", b"<i4"),
        (b"(12, 256, 3)", b"(12, 3, 256)"),
        (b"NUMPY", b"NUMPI"),
        (b"{", b"["),
    ):
        points.write_bytes(whole.replace(old, new, 1))
        with pytest.raises(PreparedSetError, match=r"train/points.npy is damaged"):
            PreparedSet(root)
    points.write_bytes(whole)
    labels = np.load(root / "train/labels.npy")
    np.save(root / "train/labels.npy", labels + 1)
    with pytest.raises(PreparedSetError, match=r"labels.npy is damaged: there are no such classes"):
        PreparedSet(root)


def test_damaged_images_and_names_are_said_when_read(root):
    split = PreparedSet(root).split("train")
    kept, views = split.names, root / "train/views.bin"
    data = bytearray(views.read_bytes())
    data[0] ^= 255
    views.write_bytes(data)
    with pytest.raises(ValueError, match=r"views.bin is damaged: view 0 of shape 0"):
        PreparedSet(root).split("train").views.read(0, 0)
    names = root / "train/names.json"
    names.write_text(" " * names.stat().st_size)
    with pytest.raises(PreparedSetError, match=r"names.json is damaged: it needs 12 names"):
        _ = PreparedSet(root).split("train").names
    assert len(kept) == 12


@pytest.mark.parametrize(
    "key",
    ["class_names", "splits", "points", "files", "views", "num_views", "part_names", "visibility"],
)
def test_manifests_that_are_nonsense_but_for_their_digest(root, key):
    path = root / MANIFEST
    manifest = json.loads(path.read_text())
    del manifest["manifest_sha256"]  # as of an earlier version
    for value in (None, 7, [], "x", {"x": "y"}, [[]]):
        changed = manifest | {key: value}
        path.write_text(json.dumps(changed | {"digest": manifest_digest(changed)}))
        if (key, value) != ("views", None):
            with pytest.raises(PreparedSetError):
                read_all(root)
    for text in ("[]", "null", "[" * 100_000, "{}", ""):
        path.write_text(text)
        with pytest.raises(PreparedSetError):
            PreparedSet(root)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("class_names", ["chair", "chair", "table"]),
        ("class_names", ["chair", ["lamp"], None]),
        ("class_parts", [[0], [1], [-1]]),
        ("class_parts", [[0], [1], ["0"]]),
        ("class_parts", [[0], [1]]),
        ("class_parts", [[0], [1], [10**6]]),
        ("points", {"num_points": 256, "up": "w"}),
        ("points", {"num_points": 256, "up": ["z"]}),
        ("points", {"num_points": 256, "normalization": "none"}),
        ("points", {"num_points": 256, "normalization": ["bounding_box"]}),
        ("visibility", "rays"),
        ("views", {"size": 0}),
        ("num_views", True),
    ],
)
def test_manifests_of_others_are_checked_value_by_value(root, key, value):
    path = root / MANIFEST
    manifest = json.loads(path.read_text())
    del manifest["manifest_sha256"]
    changed = manifest | {key: value}
    path.write_text(json.dumps(changed | {"digest": manifest_digest(changed)}))
    with pytest.raises(PreparedSetError, match=f"its {key} cannot be"):
        PreparedSet(root)


def test_a_pipe_is_not_waited_for(root):
    (root / MANIFEST).unlink()
    os.mkfifo(root / MANIFEST)
    with pytest.raises(PreparedSetError, match=r"there is no manifest\.json"):
        PreparedSet(root)


def test_a_file_outside_the_set_is_none_of_it(root):
    manifest = json.loads((root / MANIFEST).read_text())
    del manifest["manifest_sha256"]
    manifest["files"]["../secret"] = {"bytes": 3, "sha256": "0" * 64}
    (root.parent / "secret").write_text("abc")
    (root / MANIFEST).write_text(json.dumps(manifest | {"digest": manifest_digest(manifest)}))
    with pytest.raises(PreparedSetError, match=r"lists ../secret, which is not in it"):
        PreparedSet(root)


def test_sets_of_earlier_versions_open(root):
    """They have nothing that tells whether ``request``, ``rejected`` and ``made_with`` were changed."""
    path = root / MANIFEST
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"made_with": {}}))
    with pytest.raises(PreparedSetError, match="was changed in what it says about how the set was made"):
        PreparedSet(root)
    del manifest["manifest_sha256"]
    path.write_text(json.dumps(manifest | {"made_with": {}}))
    PreparedSet(root).verify()


def test_a_reader_keeps_the_old_set_or_stops(root, tiny_set, tmp_path):
    prepared = PreparedSet(root)
    split = prepared.split("train")
    before, packed, packed_set = split.points.copy(), pickle.dumps(split), pickle.dumps(prepared)
    replace_folder(shutil.copytree(tiny_set, tmp_path / "new"), root)
    assert PreparedSet(root).digest == PreparedSet(tiny_set).digest
    np.testing.assert_array_equal(split.points, before)
    assert split.views.read(11, 4).shape == (64, 64, 3)
    for replaced in (lambda: split.names, lambda: pickle.loads(packed), lambda: pickle.loads(packed_set)):
        with pytest.raises(PreparedSetError, match="was replaced by another set meanwhile"):
            replaced()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


def test_the_space_of_an_array_is_reserved(tmp_path):
    """Without that a full disk ends the process with a bus error, at whatever line writes next."""
    array = create_array(tmp_path / "x.npy", np.float32, (1 << 18,))
    assert os.stat(tmp_path / "x.npy").st_blocks * 512 >= array.nbytes
    with pytest.raises(OSError, match=r"."):
        create_array(tmp_path / "y.npy", np.float32, (1 << 50,))


def test_a_lock_is_held_until_it_is_released(tmp_path):
    lock = Lock(tmp_path / "lock", "here")
    with pytest.raises(BusyError, match="another run is using here"):
        Lock(tmp_path / "lock", "here")
    lock.release()
    again = Lock(tmp_path / "lock", "here")
    del again  # so does the end of whoever held it
    Lock(tmp_path / "lock", "here").release()
    assert not list(tmp_path.iterdir())
