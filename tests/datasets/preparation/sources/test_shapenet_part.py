"""ShapeNetPart in its two forms."""

import json
from pathlib import Path

import numpy as np
import pytest

from pointmcd.datasets.preparation.archive import unpack
from pointmcd.datasets.preparation.job import Request, prepare
from pointmcd.datasets.preparation.sources import SourceError
from pointmcd.datasets.preparation.sources.shapenet_part import ShapeNetPart
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.geometry import MeshError, rig

CHAIR, TABLE = "03001627", "04379243"
PARTS = {"chair": [12, 13, 14, 15], "table": [47, 48, 49]}


def cloud(seed: int, parts: list[int]) -> np.ndarray:
    """A box of 300 points, split by its longest axis; y is up."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1, 1, (300, 3)) * (0.3, 0.6, 0.2)
    rows = np.arange(300)
    axis = rows % 3
    points[rows, axis] = np.sign(points[rows, axis]) * np.array((0.3, 0.6, 0.2))[axis]
    normals = np.eye(3)[axis] * np.sign(points)
    part = np.where(points[:, 1] > 0, parts[0], parts[1])
    return np.column_stack((points, normals, part))


def write_lists(root: Path, train: list[str], val: list[str], test: list[str]) -> None:
    folder = root / "train_test_split"
    folder.mkdir(exist_ok=True)
    for name, listed in {"train": train, "val": val, "test": test}.items():
        entries = [f"shape_data/{entry}" for entry in listed]
        (folder / f"shuffled_{name}_file_list.json").write_text(json.dumps(entries))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "up" / "shapenetcore_partanno_segmentation_benchmark_v0_normal"
    for seed, (synset, name, parts) in enumerate(
        [(CHAIR, "a", (12, 15)), (CHAIR, "b", (13, 14)), (TABLE, "c", (47, 49)), (CHAIR, "d", (12, 13))]
    ):
        (root / synset).mkdir(parents=True, exist_ok=True)
        np.savetxt(root / synset / f"{name}.txt", cloud(seed, parts), fmt="%.6f")
    (root / "synsetoffset2category.txt").write_text(f"Chair\t{CHAIR}\nTable\t{TABLE}\n")
    write_lists(root, [f"{CHAIR}/a"], [f"{TABLE}/c"], [f"{CHAIR}/b", f"{CHAIR}/d"])
    return root


def test_text_form(root):
    source = ShapeNetPart(root.parent)
    assert len(source.class_names) == 16
    assert len(source.part_names) == 50
    assert [part for own in source.class_parts for part in own] == list(range(50))
    for name, parts in PARTS.items():
        assert source.class_parts[source.class_names.index(name)] == parts
    assert (source.surfaces, source.normals, source.up, source.rig) == (False, True, "y", "rings2x8")
    assert [(item.name, item.label, item.split) for item in source.items] == [
        ("chair/a", 4, "train"),
        ("table/c", 15, "train"),
        ("chair/b", 4, "test"),
        ("chair/d", 4, "test"),
    ]
    shape = source.load(source.items[0])
    expected = cloud(0, [12, 15])
    np.testing.assert_allclose(np.hstack([shape.points, shape.normals]), expected[:, :6], atol=1e-6)
    np.testing.assert_array_equal(shape.point_parts, expected[:, 6])


def test_lists_with_faults(root, capsys):
    train = [f"{CHAIR}/a", f"{CHAIR}/gone", f"{CHAIR}/a", f"{CHAIR}/b"]
    write_lists(root, train, [f"{TABLE}/c"], [f"{CHAIR}/b", f"{CHAIR}/d"])
    source = ShapeNetPart(root)
    assert [(item.name, item.split) for item in source.items] == [
        ("chair/a", "train"),
        ("chair/b", "train"),
        ("chair/gone", "train"),
        ("table/c", "train"),
        ("chair/b", "test"),
        ("chair/d", "test"),
    ]
    said = capsys.readouterr().err
    assert f"1 listed shapes are not there and are left out: {CHAIR}/gone.txt" in said
    assert "1 shapes are listed for training and for testing, so that test figures flatter" in said


def test_prepared(root, tmp_path):
    write_lists(root, [f"{CHAIR}/a", f"{CHAIR}/gone"], [f"{TABLE}/c"], [f"{CHAIR}/b"])
    out = tmp_path / "set"
    request = Request("shapenet-part", {"source": root}, num_points=256, image_size=64, depths=True)
    result = prepare(request, out)
    assert result.splits == {"train": 2, "test": 1}
    (rejected,) = result.rejected
    assert rejected["name"] == "chair/gone"
    assert rejected["reason"] == "listed, but the file is missing"
    prepared = PreparedSet(out)
    prepared.verify()
    assert prepared.num_views == 16
    assert prepared.class_parts[15] == [47, 48, 49]
    assert (prepared.has_part_views, prepared.has_depths, prepared.has_visibility) == (True, True, True)
    split = prepared.split("train")
    cameras = rig("rings2x8")
    for row, (low, high) in enumerate([(15, 12), (49, 47)]):
        points, parts = split.points[row], split.parts[row]
        np.testing.assert_array_equal(parts, np.where(points[:, 2] > 0, high, low))  # z is up now
        pixel, depth = cameras.project(points, 64)
        column, line = pixel.astype(int).transpose(2, 0, 1)
        agree = near = 0
        for view in range(16):
            seen = (split.visibility[row] >> np.uint32(view)) & 1 == 1
            assert 0.2 < seen.mean() < 0.8
            labels = split.part_views.read(row, view)
            distances = split.depths.read(row, view)
            assert set(np.unique(labels)) == {low, high, 50}
            np.testing.assert_array_equal(labels == 50, np.isinf(distances))
            assert labels[0, 0] == 50
            at = line[view, seen], column[view, seen]
            agree += (labels[at] == parts[seen]).mean() / 16
            near += (np.abs(distances[at] - depth[view, seen]) < 0.1).mean() / 16
        assert agree > 0.9
        assert near > 0.9


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0 0 0 0 0 1 12\n0 0 1\n", "unreadable"),
        ("0 0 0 0 0 1\n", "6 columns instead of 7"),
        ("0 0 0 0 0 1 12\n1 0 0 0 0 1 47\n", r"parts \[47\]; a chair has 12 to 15"),
        ("0 0 0 0 0 1 12\n1 0 0 0 0 1 12.7\n", r"the part 12\.7 is not a whole number"),
        ("0 0 0 0 0 1 12\n1 0 nan 0 0 1 12\n", "1 of 2 rows are not finite, row 1 first"),
        ("", "empty file"),
    ],
)
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_files_with_faults(root, text, reason):
    (root / CHAIR / "a.txt").write_text(text)
    source = ShapeNetPart(root)
    with pytest.raises(MeshError, match=reason):
        source.load(source.items[0])


def test_folders_that_cannot_be_used(root, tmp_path):
    with pytest.raises(SourceError, match="is not a folder"):
        ShapeNetPart(tmp_path / "none")
    (tmp_path / "other").mkdir()
    with pytest.raises(SourceError, match="is not ShapeNetPart"):
        ShapeNetPart(tmp_path / "other")
    lists = root / "train_test_split"
    (lists / "shuffled_val_file_list.json").write_text('["shape_data/99999999/x"]')
    with pytest.raises(SourceError, match="99999999 is not a category"):
        ShapeNetPart(root)
    (lists / "shuffled_val_file_list.json").write_text("[1, 2]")
    with pytest.raises(SourceError, match="is not a list of names"):
        ShapeNetPart(root)
    (lists / "shuffled_val_file_list.json").write_text('["shape_da')
    with pytest.raises(SourceError, match="is damaged"):
        ShapeNetPart(root)
    (lists / "shuffled_val_file_list.json").unlink()
    with pytest.raises(SourceError, match="is missing: it lists the val shapes"):
        ShapeNetPart(root)


def test_the_public_files(shared, tmp_path, capsys):
    unpack(shared / "data" / "shapenetpart_sample.tar.xz", tmp_path / "sample")
    source = ShapeNetPart(tmp_path / "sample")
    shapes = {item.name: item for item in source.items}
    assert {item.split for item in source.items} == {"train", "test"}
    assert "212e0563473156e255483301a044235" in capsys.readouterr().err  # listed, and not there
    for name in ("skateboard/1c8d5e05c3faa05861be5ced44bc18ac", "table/1a2abbc9712e2fffc3bd24f986301745"):
        shape = source.load(shapes[name])
        assert shape.points.shape == shape.normals.shape
        assert len(shape.points) > 2000
        own = source.class_parts[shapes[name].label]
        assert set(shape.point_parts) <= set(own)


def write_hdf5(path: Path, count: int, labels: list[int], part: int) -> None:
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(count)
    with h5py.File(path, "w") as file:
        file["data"] = rng.normal(size=(count, 64, 3)).astype(np.float32)
        file["label"] = np.array(labels, np.uint8)[:, None]
        file["pid"] = np.full((count, 64), part, np.uint8)


def test_hdf5_form(tmp_path):
    pytest.importorskip("h5py")
    root = tmp_path / "hdf5_data"
    root.mkdir()
    write_hdf5(root / "ply_data_train0.h5", 2, [0, 0], 3)
    write_hdf5(root / "ply_data_train1.h5", 1, [15], 48)
    write_hdf5(root / "ply_data_val0.h5", 1, [4], 13)
    with pytest.raises(SourceError, match=r"has no ply_data_test\*\.h5"):
        ShapeNetPart(root)
    write_hdf5(root / "ply_data_test0.h5", 2, [4, 4], 3)
    source = ShapeNetPart(tmp_path)
    assert [(item.name, item.label, item.split) for item in source.items] == [
        ("airplane/ply_data_train0_0000", 0, "train"),
        ("airplane/ply_data_train0_0001", 0, "train"),
        ("table/ply_data_train1_0000", 15, "train"),
        ("chair/ply_data_val0_0000", 4, "train"),
        ("chair/ply_data_test0_0000", 4, "test"),
        ("chair/ply_data_test0_0001", 4, "test"),
    ]
    shape = source.load(source.items[1])
    np.testing.assert_array_equal(
        shape.points, np.random.default_rng(2).normal(size=(2, 64, 3)).astype(np.float32)[1]
    )
    assert shape.normals is None
    assert (shape.point_parts == 3).all()
    with pytest.raises(MeshError, match=r"parts \[3\]; a chair has 12 to 15"):
        source.load(source.items[-1])
    assert Request("shapenet-part", {}).settings(source).visibility == "hpr"


def test_hdf5_files_with_faults(tmp_path):
    h5py = pytest.importorskip("h5py")
    for split in ("train", "test"):
        write_hdf5(tmp_path / f"ply_data_{split}0.h5", 2, [0, 1], 3)
    assert len(ShapeNetPart(tmp_path).items) == 4
    order = tmp_path / "all_object_categories.txt"
    order.write_text("Table\t04379243\nChair\t03001627\n")
    with pytest.raises(SourceError, match="does not list the 16 categories"):
        ShapeNetPart(tmp_path)
    order.unlink()
    file = tmp_path / "ply_data_test0.h5"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match="is not an HDF5 file, or was cut off"):
        ShapeNetPart(tmp_path)
    write_hdf5(file, 2, [0, 16], 3)
    with pytest.raises(SourceError, match="labels 0 to 16, not 0 to 15"):
        ShapeNetPart(tmp_path)
    with h5py.File(file, "a") as opened:
        del opened["pid"]
    with pytest.raises(SourceError, match="has no pid; it has data, label"):
        ShapeNetPart(tmp_path)
    with h5py.File(file, "a") as opened:
        opened["pid"] = np.zeros((3, 64), np.uint8)
    with pytest.raises(SourceError, match="2 data, 2 label, 3 pid: they should be equally many"):
        ShapeNetPart(tmp_path)


def first_form(root: Path, category: str = f"Chair\t{CHAIR}", labels: tuple[int, ...] = (1, 4)) -> Path:
    """Two shapes of the form with points/*.pts and points_label/*.seg."""
    synset = category.split()[1]
    for folder in ("points", "points_label"):
        (root / synset / folder).mkdir(parents=True)
    for seed, name in enumerate("ab"):
        table = cloud(seed, list(labels))
        np.savetxt(root / synset / f"points/{name}.pts", table[:, :3], fmt="%.5f")
        np.savetxt(root / synset / f"points_label/{name}.seg", table[:, 6], fmt="%d")
    (root / "synsetoffset2category.txt").write_text(category + "\n")
    write_lists(root, [f"{synset}/a"], [], [f"{synset}/b"])
    return root


def test_first_form_counts_parts_from_1(tmp_path):
    source = ShapeNetPart(first_form(tmp_path))
    assert (len(source.part_names), source.normals) == (50, False)
    assert [(item.name, item.label, item.split) for item in source.items] == [
        ("chair/a", 4, "train"),
        ("chair/b", 4, "test"),
    ]
    shape, expected = source.load(source.items[0]), cloud(0, [12, 15])
    np.testing.assert_allclose(shape.points, expected[:, :3], atol=1e-5)
    np.testing.assert_array_equal(shape.point_parts, expected[:, 6])
    label_file = tmp_path / CHAIR / "points_label/a.seg"
    label_file.write_text(label_file.read_text().replace("4", "5"))
    with pytest.raises(MeshError, match=r"parts \[5\]; a chair has 1 to 4"):
        source.load(source.items[0])
    label_file.write_text("1\n2\n")
    with pytest.raises(MeshError, match=r"a\.seg has 2 parts, there are 300 points"):
        source.load(source.items[0])


def test_categories_and_names_of_parts_of_ones_own(tmp_path):
    root = first_form(tmp_path, "Hex_Nut 99999999", (3, 8))
    source = ShapeNetPart(root)
    assert (source.class_names, source.part_names) == (["hex_nut"], ["hex_nut-3", "hex_nut-8"])
    assert set(source.load(source.items[0]).point_parts) == {0, 1}
    (root / "parts.txt").write_text("hex_nut 3 thread\nhex_nut 8 flat side\nhex_nut 9 hole\n")
    source = ShapeNetPart(root)
    assert source.part_names == ["hex_nut-thread", "hex_nut-flat side", "hex_nut-hole"]
    (root / "synsetoffset2category.txt").write_text("Nut\n")
    with pytest.raises(SourceError, match="not a list of lines such as `Chair 03001627`"):
        ShapeNetPart(root)
