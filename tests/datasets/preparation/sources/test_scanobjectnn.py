"""ScanObjectNN's variants."""

from pathlib import Path

import numpy as np
import pytest

from pointmcd.datasets.preparation.job import Request, prepare
from pointmcd.datasets.preparation.sources import SourceError
from pointmcd.datasets.preparation.sources.scanobjectnn import CLASSES, FILES, ScanObjectNN
from pointmcd.datasets.prepared_set import PreparedSet

h5py = pytest.importorskip("h5py")


def write_files(root: Path) -> dict[str, np.ndarray]:
    """All three variants, and the points of the first training shape of each."""
    rng = np.random.default_rng(0)
    first = {}
    for variant, (folder, end) in FILES.items():
        for start, labels in (("training", [14, 0, 3]), ("test", [0, 1])):
            path = root / "h5_files" / folder / f"{start}_{end}"
            path.parent.mkdir(parents=True, exist_ok=True)
            points = rng.normal(size=(len(labels), 200, 3)) * (1, 4, 1)
            with h5py.File(path, "w") as file:
                file["data"] = points.astype(np.float32)
                file["label"] = np.array(labels)
            first.setdefault(variant, points[0])
    return first


def test_variants(tmp_path):
    first = write_files(tmp_path)
    assert len(CLASSES) == 15
    for variant, points in first.items():
        source = ScanObjectNN(tmp_path, variant)
        assert (source.surfaces, source.normals, source.up) == (False, False, "y")
        assert [(item.name, item.label, item.split) for item in source.items] == [
            ("toilet/train_00000", 14, "train"),
            ("bag/train_00001", 0, "train"),
            ("cabinet/train_00002", 3, "train"),
            ("bag/test_00000", 0, "test"),
            ("bin/test_00001", 1, "test"),
        ]
        np.testing.assert_allclose(source.load(source.items[0]).points, points, atol=1e-5)


def test_prepared_with_views(tmp_path):
    write_files(tmp_path)
    options = {"source": tmp_path / "h5_files", "variant": "OBJ_ONLY"}
    prepare(Request("scanobjectnn", options, num_points=128, image_size=32), tmp_path / "set")
    prepared = PreparedSet(tmp_path / "set")
    assert prepared.manifest["visibility"] == "hpr"
    split = prepared.split("train")
    assert np.ptp(split.points[0], axis=0).argmax() == 2  # z is up
    for view in range(12):
        image = split.views.read(0, view)
        assert image.shape == (32, 32, 3)
        assert 0.05 < (image[..., 0] < 255).mean() < 0.9


def test_files_with_faults(tmp_path):
    write_files(tmp_path)
    with pytest.raises(SourceError, match="unknown variant 'PB'; there are OBJ_ONLY"):
        ScanObjectNN(tmp_path, "PB")
    path = tmp_path / "h5_files/main_split/test_objectdataset.h5"
    with h5py.File(path, "a") as file:
        file["label"][:] = 15
    with pytest.raises(SourceError, match="labels 15 to 15, not 0 to 14"):
        ScanObjectNN(tmp_path, "OBJ_BG")
    with h5py.File(path, "a") as file:
        count = len(file["label"])
        del file["label"]
        file["label"] = np.full(count, 12.7)
    with pytest.raises(SourceError, match=r"labels 12\.7 to 12\.7, not 0 to 14"):
        ScanObjectNN(tmp_path, "OBJ_BG")
    with h5py.File(path, "a") as file:
        del file["data"]
        file["data"] = np.zeros((2, 200, 4))
    with pytest.raises(SourceError, match=r"data has the shape \(2, 200, 4\), expected \(any, any, 3\)"):
        ScanObjectNN(tmp_path, "OBJ_BG")
    path.write_bytes(b"not HDF5")
    with pytest.raises(SourceError, match="is not an HDF5 file"):
        ScanObjectNN(tmp_path, "OBJ_BG")
    path.unlink()
    with pytest.raises(SourceError, match=r"has no main_split/test_objectdataset\.h5"):
        ScanObjectNN(tmp_path, "OBJ_BG")
    assert len(ScanObjectNN(tmp_path, "OBJ_ONLY").items) == 5
