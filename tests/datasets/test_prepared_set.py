"""The on-disk format: what is written comes back, and what was changed is noticed."""

import json
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from pointmcd.datasets.images import encode_depth, encode_labels
from pointmcd.datasets.preparation.writer import EncodedShape, SplitWriter, seal
from pointmcd.datasets.prepared_set import MANIFEST, PreparedSet, PreparedSetError

HEADER = {
    "class_names": ["a", "b"],
    "part_names": ["p"],
    "num_views": 2,
    "points": {"num_points": 4},
    "views": {"size": 8},
    "visibility": "ray",
    "splits": {"train": 3},
}


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


@pytest.fixture
def drawn() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "points": rng.normal(size=(3, 4, 3)).astype(np.float32),
        "parts": rng.integers(0, 9, (3, 4)).astype(np.uint8),
        "visibility": rng.integers(0, 2**31, (3, 4)).astype(np.uint32),
        "images": rng.integers(0, 256, (3, 2, 8, 8, 3)).astype(np.uint8),
    }


@pytest.fixture
def root(tmp_path: Path, drawn: dict[str, np.ndarray]) -> Path:
    writer = SplitWriter(tmp_path / "set" / "train", ["x", "y/ü", "z"], [1, 0, 1])
    for row in range(3):
        arrays = {name: drawn[name][row] for name in ("points", "parts", "visibility")}
        writer.add(EncodedShape(arrays, {"views": [png(image) for image in drawn["images"][row]]}))
    writer.close()
    seal(tmp_path / "set", HEADER)
    return tmp_path / "set"


def test_round_trip(root, drawn):
    prepared = PreparedSet(root)
    split = prepared.split("train")
    assert len(split) == 3
    assert split.names == ["x", "y/ü", "z"]
    assert split.labels.tolist() == [1, 0, 1]
    assert split.labels.dtype == np.int64
    for name in ("points", "parts", "visibility"):
        stored = getattr(split, name)
        assert stored.dtype == drawn[name].dtype
        np.testing.assert_array_equal(stored, drawn[name])
    assert split.normals is None
    for shape in range(3):
        for view in range(2):
            np.testing.assert_array_equal(split.views.read(shape, view), drawn["images"][shape, view])
    assert (prepared.class_names, prepared.part_names, prepared.splits) == (["a", "b"], ["p"], ["train"])
    assert (prepared.num_views, prepared.num_points) == (2, 4)
    prepared.verify()


def test_pickle_passes_the_path_not_the_data(root, drawn):
    split = PreparedSet(root).split("train")
    assert split.points.shape == (3, 4, 3)
    assert split.views.read(0, 0).shape == (8, 8, 3)
    packed = pickle.dumps(split)
    assert len(packed) < 500
    np.testing.assert_array_equal(pickle.loads(packed).points, drawn["points"])
    assert pickle.loads(pickle.dumps(PreparedSet(root))).digest == PreparedSet(root).digest


def test_digest_depends_on_every_file_and_setting(root, tmp_path):
    digest = PreparedSet(root).digest
    assert seal(root, HEADER) == digest
    assert seal(root, HEADER | {"visibility": "hpr"}) != digest
    assert seal(root, HEADER | {"rejected": [{"name": "q"}]}) == digest
    names = root / "train" / "names.json"
    names.write_text(names.read_text("utf-8").replace("x", "w"), "utf-8")
    assert seal(root, HEADER) != digest


@pytest.mark.parametrize("file", ["points.npy", "views.bin", "names.json"])
def test_changed_byte_is_found_by_verify(root, file):
    path = root / "train" / file
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(PreparedSetError, match=f"{file} was changed: its SHA-256 is .*expected "):
        PreparedSet(root).verify()


def test_truncated_and_missing_files_are_found_at_opening(root):
    views = root / "train" / "views.bin"
    views.write_bytes(views.read_bytes()[:-1])
    with pytest.raises(PreparedSetError, match=r"views.bin has \d+ bytes instead of \d+"):
        PreparedSet(root)
    views.unlink()
    with pytest.raises(PreparedSetError, match=r"views.bin is missing"):
        PreparedSet(root)


def test_changed_manifest_names_both_digests(root):
    path = root / MANIFEST
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"visibility": "depth"}))
    with pytest.raises(
        PreparedSetError, match=f"was changed: its digest is .* states {manifest['digest'][:16]}"
    ):
        PreparedSet(root)
    path.write_text("{")
    with pytest.raises(PreparedSetError, match="is damaged"):
        PreparedSet(root)
    path.write_text(json.dumps(manifest | {"format_version": 99}))
    with pytest.raises(PreparedSetError, match="has format 99"):
        PreparedSet(root)


def test_missing_set_says_in_three_lines_how_to_make_it(tmp_path):
    with pytest.raises(PreparedSetError) as error:
        PreparedSet(tmp_path / "modelnet40")
    lines = str(error.value).splitlines()
    assert len(lines) == 3
    assert "Princeton" in lines[1]
    command = f"pointmcd prepare modelnet40 --source ModelNet40.zip --out {tmp_path}/modelnet40"
    assert lines[2].endswith(command)
    with pytest.raises(PreparedSetError, match=r"mesh-folder --source [\s\S]*builtin --out"):
        PreparedSet(tmp_path / "other")


def test_what_is_not_there_is_named(root):
    with pytest.raises(PreparedSetError, match="no split 'val'; it has train"):
        PreparedSet(root).split("val")
    with pytest.raises(IndexError, match="view 2 of 2"):
        PreparedSet(root).split("train").views.read(0, 2)


def test_points_alone_have_no_views(tmp_path):
    writer = SplitWriter(tmp_path / "train", ["x"], [0])
    writer.add(EncodedShape({"points": np.zeros((4, 3), np.float32)}))
    writer.close()
    seal(tmp_path, HEADER | {"splits": {"train": 1}, "num_views": 0, "views": None, "visibility": "none"})
    prepared = PreparedSet(tmp_path)
    assert not prepared.has_views
    assert not prepared.has_visibility
    assert prepared.split("train").visibility is None
    with pytest.raises(PreparedSetError, match="prepared from points alone"):
        _ = prepared.split("train").views


def test_writer_refuses_a_shape_unlike_the_others(tmp_path):
    writer = SplitWriter(tmp_path / "train", ["x", "y"], [0, 0])
    points = np.zeros((4, 3), np.float32)
    writer.add(EncodedShape({"points": points}))
    with pytest.raises(PreparedSetError, match=r"y has .*normals"):
        writer.add(EncodedShape({"points": points, "normals": points}))
    with pytest.raises(PreparedSetError, match="1 of 2 shapes"):
        writer.close()


def test_moved_set_still_opens(root, tmp_path):
    digest = PreparedSet(root).digest
    shutil.move(root, tmp_path / "elsewhere")
    assert PreparedSet(tmp_path / "elsewhere").digest == digest


def test_images_of_every_kind(root, tmp_path, drawn):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, (3, 2, 8, 8))
    depth = rng.uniform(2, 4, (3, 2, 8, 8)).astype(np.float32)
    writer = SplitWriter(tmp_path / "other" / "train", ["x", "y", "z"], [1, 0, 1])
    for row in range(3):
        images = {
            "views": [png(image) for image in drawn["images"][row]],
            "part_views": [encode_labels(image, 3) for image in labels[row]],
            "depths": [encode_depth(image, 2, 4) for image in depth[row]],
        }
        writer.add(EncodedShape({"points": drawn["points"][row]}, images))
    writer.close()
    more = {
        "visibility": "none",
        "part_views": True,
        "depths": {"near": 2.0, "far": 4.0},
        "part_names": ["p", "q", "r"],
        "class_parts": [[0], [1, 2]],
    }
    seal(tmp_path / "other", HEADER | more)
    prepared = PreparedSet(tmp_path / "other")
    prepared.verify()
    assert (prepared.has_part_views, prepared.has_depths, prepared.image_size) == (True, True, 8)
    assert prepared.class_parts == [[0], [1, 2]]
    split = pickle.loads(pickle.dumps(prepared.split("train")))
    for shape in range(3):
        for view in range(2):
            np.testing.assert_array_equal(split.part_views.read(shape, view), labels[shape, view])
            np.testing.assert_allclose(split.depths.read(shape, view), depth[shape, view], atol=2e-5)
    old = PreparedSet(root)
    assert (old.has_part_views, old.has_depths, old.class_parts) == (False, False, None)
    with pytest.raises(PreparedSetError, match="has no label images"):
        _ = old.split("train").part_views
    with pytest.raises(PreparedSetError, match="made with --depths"):
        _ = old.split("train").depths


def test_shapes_of_a_split_hold_the_same_images(tmp_path):
    points = {"points": np.zeros((4, 3), np.float32)}
    writer = SplitWriter(tmp_path / "train", ["x", "y"], [0, 0])
    writer.add(EncodedShape(points, {"views": [b"1", b"2"]}))
    with pytest.raises(
        PreparedSetError, match="y has points, 1 views, the shapes before it have points, 2 views"
    ):
        writer.add(EncodedShape(points, {"views": [b"1"]}))
