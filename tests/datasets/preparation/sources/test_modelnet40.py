"""ModelNet40 as meshes and as text."""

from pathlib import Path

import numpy as np
import pytest

from pointmcd.datasets.preparation.archive import unpack
from pointmcd.datasets.preparation.job import PreparationError, Request
from pointmcd.datasets.preparation.sources import SourceError
from pointmcd.datasets.preparation.sources.modelnet40 import ModelNet40
from pointmcd.geometry import MeshError

CLASSES = [f"class_{number:02d}" for number in range(40)]


def text_folder(root: Path) -> Path:
    """The layout of modelnet40_normal_resampled with two of its listed shapes there."""
    (root / "class_01").mkdir(parents=True)
    (root / "class_39").mkdir()
    (root / "modelnet40_shape_names.txt").write_text("\n".join(CLASSES) + "\n")
    (root / "modelnet40_train.txt").write_text("class_01_0001\nclass_39_0007\n")
    (root / "modelnet40_test.txt").write_text("class_39_0008\n")
    rows = np.random.default_rng(0).normal(size=(50, 6))
    np.savetxt(root / "class_01/class_01_0001.txt", rows, fmt="%.6f", delimiter=",")
    (root / "class_39/class_39_0007.txt").write_text("0.1,0.2,0.3\n")
    return root


def test_text_format(tmp_path):
    source = ModelNet40(text_folder(tmp_path / "modelnet40_normal_resampled").parent)
    assert (source.surfaces, source.up, source.class_names) == (False, "y", CLASSES)
    assert [(item.name, item.label, item.split) for item in source.items] == [
        ("class_01/class_01_0001", 1, "train"),
        ("class_39/class_39_0007", 39, "train"),
        ("class_39/class_39_0008", 39, "test"),
    ]
    shape = source.load(source.items[0])
    expected = np.random.default_rng(0).normal(size=(50, 6))
    np.testing.assert_allclose(np.hstack([shape.points, shape.normals]), expected, atol=1e-6)
    with pytest.raises(MeshError, match="3 columns instead of 6"):
        source.load(source.items[1])
    with pytest.raises(MeshError, match="the file is missing"):
        source.load(source.items[2])
    (tmp_path / "modelnet40_normal_resampled/class_39/class_39_0008.txt").write_text("what is this\n")
    with pytest.raises(MeshError, match="unreadable"):
        source.load(source.items[2])
    (tmp_path / "modelnet40_normal_resampled/class_39/class_39_0008.txt").write_text("1,2,3,0,nan,1\n")
    with pytest.raises(MeshError, match="1 of 1 rows are not finite"):
        source.load(source.items[2])


def test_text_format_is_rendered_unless_the_user_wants_points_alone(tmp_path):
    source = ModelNet40(text_folder(tmp_path))
    settings = Request("modelnet40", {}).settings(source)
    assert (settings.rig.num_views, settings.image_size, settings.visibility) == (12, 224, "ray")
    assert settings.points.up == "y"
    alone = Request("modelnet40", {}, views=False).settings(source)
    assert (alone.rig, alone.image_size, alone.visibility) == (None, None, "none")
    masked = Request("modelnet40", {}, up="z", views=False, visibility="hpr").settings(source)
    assert (masked.rig.num_views, masked.image_size, masked.points.up) == (12, None, "z")
    with pytest.raises(PreparationError, match="flat needs meshes"):
        Request("modelnet40", {}, shading="flat").settings(source)


def test_broken_lists_are_named(tmp_path):
    root = text_folder(tmp_path)
    (root / "modelnet40_test.txt").write_text("boat_0001\n")
    with pytest.raises(SourceError, match="lists boat_0001, whose class is not in"):
        ModelNet40(root)
    (root / "modelnet40_test.txt").write_text((root / "modelnet40_train.txt").read_text())
    with pytest.raises(SourceError, match="_0001 twice; take it out of one of them"):
        ModelNet40(root)
    (root / "modelnet40_test.txt").unlink()
    with pytest.raises(SourceError, match=r"modelnet40_test\.txt is missing"):
        ModelNet40(root)


def test_princeton_meshes(tmp_path):
    for name in CLASSES:
        for split in ("train", "test"):
            (tmp_path / name / split).mkdir(parents=True)
            (tmp_path / name / split / f"{name}_{split}.off").touch()
    source = ModelNet40(tmp_path)
    assert (source.surfaces, source.up, len(source.items)) == (True, "z", 80)
    (tmp_path / CLASSES[0]).rename(tmp_path / ".gone")
    with pytest.raises(SourceError, match="39 classes, ModelNet40 has 40"):
        ModelNet40(tmp_path)


def test_real_text_sample(shared, tmp_path):
    unpack(shared / "data/modelnet40_normal_resampled_sample.tar.xz", tmp_path / "source")
    source = ModelNet40(tmp_path / "source")
    names = (shared / "data/modelnet40_shape_names.txt").read_text().split()
    assert source.class_names == names
    listed = {
        split: {i.name.split("/")[1] for i in source.items if i.split == split} for split in ("train", "test")
    }
    for split in listed:
        assert listed[split] <= set(
            (shared / f"data/modelnet40_{split}_reconstructed.txt").read_text().split()
        )
    shape = source.load(source.items[0])
    assert shape.points.shape == (10_000, 3)
    np.testing.assert_allclose(np.linalg.norm(shape.normals, axis=1), 1, atol=1e-3)


def test_hdf5_form(tmp_path):
    h5py = pytest.importorskip("h5py")
    root = tmp_path / "up/modelnet40_ply_hdf5_2048"
    root.mkdir(parents=True)
    (root / "shape_names.txt").write_text("\n".join(CLASSES) + "\n")
    data = np.random.default_rng(0).normal(size=(2, 2048, 6)).astype(np.float32)
    for split, labels in (("train", [39, 1]), ("test", [0, 2])):
        (root / f"{split}_files.txt").write_text(f"data/modelnet40_ply_hdf5_2048/ply_data_{split}0.h5\n")
        with h5py.File(root / f"ply_data_{split}0.h5", "w") as file:
            file["data"], file["normal"] = data[..., :3], data[..., 3:]
            file["label"] = np.array(labels, np.uint8)[:, None]
    (root / "ply_data_test_0_id2file.json").write_text('["class_00/class_00_0001.ply", "class_02_0009.ply"]')
    source = ModelNet40(tmp_path / "up")
    assert [(item.name, item.label, item.split) for item in source.items] == [
        ("class_39/ply_data_train0_0000", 39, "train"),
        ("class_01/ply_data_train0_0001", 1, "train"),
        ("class_00/class_00_0001", 0, "test"),
        ("class_02/class_02_0009", 2, "test"),
    ]
    assert (source.surfaces, source.normals, source.up) == (False, True, "y")
    shape = source.load(source.items[1])
    np.testing.assert_array_equal(np.hstack([shape.points, shape.normals]), data[1])
    (root / "test_files.txt").unlink()
    with pytest.raises(SourceError, match=r"test_files.txt is missing: it lists the files of the test"):
        ModelNet40(root)
