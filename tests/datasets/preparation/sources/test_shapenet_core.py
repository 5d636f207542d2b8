"""ShapeNetCore's two folder layouts."""

from pathlib import Path

import numpy as np
import pytest
from trimesh import creation

from pointmcd.datasets.preparation.job import Request, prepare
from pointmcd.datasets.preparation.sources import SourceError
from pointmcd.datasets.preparation.sources.shapenet_core import SYNSETS, ShapeNetCore
from pointmcd.datasets.prepared_set import PreparedSet

MESH = {1: "model.obj", 2: "models/model_normalized.obj"}


def write_core(root: Path, version: int) -> Path:
    """A car, two chairs, one of them without a mesh, and what does not belong there."""
    for model in ("02958343/car1", "03001627/b", "03001627/a"):
        path = root / model / MESH[version]
        path.parent.mkdir(parents=True)
        creation.box((1, 3, 2)).export(path)  # y is up
    (root / "03001627/b" / MESH[version]).unlink()
    (root / "taxonomy").mkdir()
    (root / "taxonomy.json").write_text("{}")
    return root


@pytest.mark.parametrize("version", [1, 2])
def test_layouts(tmp_path, version):
    root = write_core(tmp_path / "up" / f"ShapeNetCore.v{version}", version)
    source = ShapeNetCore(root.parent)
    assert source.class_names == ["car", "chair"]
    assert [(item.name, item.label, item.split) for item in source.items] == [
        ("car/car1", 0, "train"),
        ("chair/a", 1, "train"),
        ("chair/b", 1, "train"),
    ]
    result = prepare(
        Request("shapenet-core", {"source": root}, num_points=64, image_size=32), tmp_path / "set"
    )
    assert result.splits == {"train": 2}
    (rejected,) = result.rejected
    assert rejected["name"] == "chair/b"
    assert rejected["reason"].startswith("unreadable")
    prepared = PreparedSet(tmp_path / "set")
    assert (prepared.splits, prepared.num_views) == (["train"], 16)
    extent = np.ptp(prepared.split("train").points[0], axis=0)
    assert extent.argmax() == 2  # z is up


def test_synsets():
    assert len(SYNSETS) == len(set(SYNSETS.values())) == 57
    assert len(SYNSETS.keys() - {"02834778", "02858304"}) == 55
    assert (SYNSETS["02691156"], SYNSETS["04530566"]) == ("airplane", "vessel")
    assert list(SYNSETS) == sorted(SYNSETS)


def test_folders_that_cannot_be_used(tmp_path):
    with pytest.raises(SourceError, match="is not a folder"):
        ShapeNetCore(tmp_path / "none")
    with pytest.raises(SourceError, match="no folders named by synsets"):
        ShapeNetCore(tmp_path)
    (tmp_path / "02958343").mkdir()
    with pytest.raises(SourceError, match="no shapes in them"):
        ShapeNetCore(tmp_path)
