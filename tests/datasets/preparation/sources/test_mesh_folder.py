"""Folders of meshes in their various layouts."""

from pathlib import Path

import numpy as np
import pytest
from trimesh import creation

from pointmcd.datasets.preparation.sources import SourceError
from pointmcd.datasets.preparation.sources.mesh_folder import MeshFolder
from pointmcd.geometry import MeshError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def listed(source: MeshFolder) -> list[tuple[str, int, str]]:
    return [(item.name, item.label, item.split) for item in source.items]


def test_modelnet_layout(tmp_path):
    touch(tmp_path, "sofa/train/sofa_0002.off", "sofa/train/sofa_0001.off", "sofa/test/sofa_0003.OFF")
    touch(
        tmp_path,
        "bed/train/bed_0001.off",
        "bed/test/bed_0002.off",
        "bed/train/.hidden.off",
        "bed/train/notes.txt",
    )
    source = MeshFolder(tmp_path)
    assert source.class_names == ["bed", "sofa"]
    assert listed(source) == [
        ("bed/bed_0001", 0, "train"),
        ("sofa/sofa_0001", 1, "train"),
        ("sofa/sofa_0002", 1, "train"),
        ("bed/bed_0002", 0, "test"),
        ("sofa/sofa_0003", 1, "test"),
    ]


def test_folders_around_the_classes_do_not_matter(tmp_path):
    touch(tmp_path, "up/shapes/train/train/a.off", "up/shapes/car/train/b.off", "up/__MACOSX/shapes/x.off")
    assert listed(MeshFolder(tmp_path)) == [("car/b", 0, "train"), ("train/a", 1, "train")]
    one_class = touch(tmp_path / "one", "up/chair/train/a.off", "up/chair/test/b.off")
    assert MeshFolder(one_class).class_names == ["chair"]
    assert MeshFolder(touch(tmp_path / "flat", "chair/a.off"), test_fraction=0).class_names == ["chair"]


def test_drawn_split_is_stratified_seeded_and_independent_of_other_classes(tmp_path):
    for name, count in [("a", 10), ("b", 25)]:
        touch(tmp_path, *(f"{name}/{number:02d}.stl" for number in range(count)))

    def test_names(**options) -> set[str]:
        return {item.name for item in MeshFolder(tmp_path, **options).items if item.split == "test"}

    first = test_names(test_fraction=0.2)
    assert sum(name.startswith("a/") for name in first) == 2
    assert sum(name.startswith("b/") for name in first) == 5
    assert first == test_names()
    assert first != test_names(seed=1)
    touch(tmp_path, *(f"c/{number}.stl" for number in range(8)))
    assert {name for name in test_names() if not name.startswith("c/")} == first
    assert test_names(test_fraction=0) == set()


@pytest.mark.parametrize("suffix", ["off", "obj", "ply", "stl", "glb"])
def test_every_format_loads(tmp_path, suffix):
    path = tmp_path / "ball" / "train" / f"x.{suffix}"
    path.parent.mkdir(parents=True)
    creation.icosphere(2).export(path)
    source = MeshFolder(tmp_path)
    mesh = source.load(source.items[0]).mesh
    assert mesh.area == pytest.approx(creation.icosphere(2).area, rel=1e-4)


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        (["readme.txt"], {}, "no class folders with meshes"),
        (["a/train/x.off", "b/y.off"], {}, r"y\.off lies beside the folders train"),
        (["a/train/x.off"], {"test_fraction": 0.5}, "leave out --test-fraction"),
        (["a/x.off", "a/x.ply"], {"test_fraction": 0}, r"a/x\.off and a/x\.ply have the same name"),
        (["a/x.off"], {"test_fraction": 1.0}, "must be at least 0 and less than 1"),
        (["train/x.off", "test/y.off"], {}, "has the folders test and train, which are splits, in place of"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, files, options, message):
    with pytest.raises(SourceError, match=message):
        MeshFolder(touch(tmp_path, *files), **options)


def test_missing_folder(tmp_path):
    with pytest.raises(SourceError, match="is not a folder"):
        MeshFolder(tmp_path / "nowhere")


def write_labelled_box(root: Path, name: str, labels: str | None) -> None:
    """A box of six quadrilaterals, and the labels of its faces."""
    corners = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 2)]
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    lines = ["OFF", "8 6 0", *(" ".join(map(str, c)) for c in corners)]
    lines += ["4 " + " ".join(map(str, quad)) for quad in quads]
    path = root / f"{name}.off"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    if labels is not None:
        path.with_suffix(".seg").write_text(labels)


def test_parts_of_faces(tmp_path):
    write_labelled_box(tmp_path, "box/train/a", "7 7 7 7 7 9\n")  # the last face is the upper one
    write_labelled_box(tmp_path, "box/test/b", "9\n9\n9\n9\n9\n7\n")
    write_labelled_box(tmp_path, "crate/train/c", "1 1 1 1 1 1")
    write_labelled_box(tmp_path, "crate/test/d", "1 1 1 1 1 1")
    source = MeshFolder(tmp_path)
    assert source.part_names == ["box-7", "box-9", "crate-1"]
    assert source.class_parts == [[0, 1], [2]]
    first, crate, second, _ = source.items
    for item, of_lid, of_rest in ((first, 1, 0), (second, 0, 1), (crate, 2, 2)):
        shape = source.load(item)
        height = shape.mesh.triangles_center[:, 2]
        np.testing.assert_array_equal(shape.face_parts, np.where(height > 1.99, of_lid, of_rest))


def test_parts_that_do_not_fit_reject_their_shape(tmp_path):
    for name, labels in {
        "a": "0 0 0 0 0 1",
        "b": "0 0 0",
        "c": None,
        "d": "0 0 0 0 0 lid",
        "e": "0 0 0 0 1 -1",
    }.items():
        write_labelled_box(tmp_path, f"box/train/{name}", labels)
    source = MeshFolder(tmp_path)
    assert source.part_names == ["box-0", "box-1"]
    good, *bad = source.items
    assert source.load(good).face_parts.tolist() == [0] * 10 + [1] * 2
    reasons = (
        "b.seg has 3 parts, the mesh has 6 faces",
        "c.seg is missing",
        "d.seg is not one integer per face",
        "e.seg has the part -1 at 1 of 6 faces",
    )
    for item, reason in zip(bad, reasons, strict=True):
        with pytest.raises(MeshError, match=reason):
            source.load(item)


def test_a_part_that_no_training_shape_has_is_said(tmp_path, capsys):
    write_labelled_box(tmp_path, "box/train/a", "0 0 0 0 0 1")
    write_labelled_box(tmp_path, "box/test/b", "0 0 0 0 0 7")
    assert MeshFolder(tmp_path).part_names == ["box-0", "box-1", "box-7"]
    assert "no shape to train on has the parts box-7, which" in capsys.readouterr().err


def test_parts_of_an_obj_follow_the_order_of_the_file(tmp_path):
    text = ["o thing"] + [f"v {x} 0 0\nv {x + 1} 0 0\nv {x} 1 0" for x in range(0, 8, 2)]
    text += [f"usemtl m{face % 2}\nf {3 * face + 1} {3 * face + 2} {3 * face + 3}" for face in range(4)]
    (tmp_path / "thing/train").mkdir(parents=True)
    (tmp_path / "thing/train/a.obj").write_text("\n".join(text) + "\n")
    (tmp_path / "thing/train/a.seg").write_text("0 1 2 3")
    source = MeshFolder(tmp_path)
    shape = source.load(source.items[0])
    np.testing.assert_array_equal(shape.face_parts, shape.mesh.triangles[:, :, 0].min(1) // 2)


def test_no_labels_of_parts_are_no_parts(tmp_path):
    write_labelled_box(tmp_path, "box/train/a", None)
    source = MeshFolder(tmp_path)
    assert source.part_names is None
    assert source.load(source.items[0]).face_parts is None


def test_unlabelled_takes_meshes_at_any_depth(tmp_path):
    touch(tmp_path, "a.off", "x/y/a.off", "x/z.ply", "x/.git/b.off", "__MACOSX/c.off", "x/notes.txt")
    source = MeshFolder(tmp_path, unlabelled=True)
    assert source.class_names == ["unlabelled"]
    assert listed(source) == [("a", 0, "train"), ("x/y/a", 0, "train"), ("x/z", 0, "train")]
    with pytest.raises(SourceError, match="leave out --test-fraction"):
        MeshFolder(tmp_path, 0.5, unlabelled=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="holds no meshes"):
        MeshFolder(tmp_path / "empty", unlabelled=True)
