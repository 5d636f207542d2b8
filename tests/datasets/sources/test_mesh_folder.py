"""Folders of meshes in their various layouts."""

from pathlib import Path

import pytest
from trimesh import creation

from pointmcd.datasets.sources import SourceError
from pointmcd.datasets.sources.mesh_folder import MeshFolder


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
        (["a/x.off"], {"test_fraction": 1.0}, "needs at least 0 and less than 1"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, files, options, message):
    with pytest.raises(SourceError, match=message):
        MeshFolder(touch(tmp_path, *files), **options)


def test_missing_folder(tmp_path):
    with pytest.raises(SourceError, match="is no folder"):
        MeshFolder(tmp_path / "nowhere")
