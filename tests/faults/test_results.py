"""Files of features and of results: what is damaged or somebody else's is named, and no figure made of it."""

import json

import numpy as np
import pytest

from pointmcd.commands import compare_runs
from pointmcd.commands.finetune import read_result
from pointmcd.evaluation.features import Features, FeatureSet

REPORT = {
    "overall_accuracy": 50.0,
    "mean_class_accuracy": 50.0,
    "labels": [0, 1],
    "predictions": [0, 0],
    "labelled_shapes": 4,
    "iterations": 8,
}
DAMAGED = {
    "list": [1],
    "number": 3,
    "empty": {},
    "no figure": REPORT | {"overall_accuracy": None},
    "one prediction": REPORT | {"predictions": [0]},
    "a number for all": REPORT | {"predictions": 0},
    "text": REPORT | {"predictions": ["box", "cone"]},
    "nested": REPORT | {"predictions": [[0, 0], [0, 0]]},
    "NaN": REPORT | {"predictions": [0, float("nan")]},
    "labels": REPORT | {"labels": {"a": 1}},
    "ious": REPORT | {"ious": [0.5]},
}


@pytest.fixture
def write(tmp_path):
    def write(name, value):
        path = tmp_path / name
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return path

    return write


@pytest.mark.parametrize("value", [*DAMAGED.values(), "{", ""], ids=[*DAMAGED, "cut", "no text"])
def test_damaged_reports_are_named(value, write):
    good, bad = write("good.json", REPORT), write("bad.json", value)
    with pytest.raises(SystemExit, match=r"bad\.json|one of these reports has no overall accuracy"):
        compare_runs.main(["--first", str(good), "--second", str(bad)])


@pytest.mark.parametrize("value", [*DAMAGED.values(), "{", ""], ids=[*DAMAGED, "cut", "no text"])
def test_damaged_results_of_a_run_are_named(value, write):
    path = write("result.json", value)
    with pytest.raises(ValueError, match=rf"{path} is not a result of a run .* delete {path.parent} to run"):
        read_result(path)


def test_whole_ones_are_read(write, capsys):
    path = write("result.json", REPORT)
    assert read_result(path) == REPORT
    compare_runs.main(["--first", str(path), "--second", str(path)])
    assert "2 shapes, 1 seed," in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"about": np.asarray("[1]")}, "does not name what made them"),
        ({"test/labels": np.array([0, 2])}, "labels outside 0 to 1"),
        ({"test/labels": np.array([0, -1])}, "labels outside 0 to 1"),
        ({"test/labels": np.array([0.0, 1.0])}, "labels of integers"),
        ({"test/labels": np.array([[0], [1]])}, "one label per shape"),
        ({"test/values": np.zeros((2, 3), complex)}, "features of floats"),
        ({"test/values": np.zeros(2)}, "features are"),
        ({"class_names": np.asarray("box")}, "a list of classes"),
        ({"test/names": np.asarray(["a"])}, "do not belong to the same shapes"),
        ({"test/values": np.array([[{}], [{}]], object)}, "allow_pickle"),
    ],
    ids=str,
)
def test_files_of_features_are_checked(changed, reason, tmp_path):
    path = tmp_path / "features.npz"
    features = Features(np.zeros((2, 3), np.float32), np.array([0, 1]), ["a", "b"])
    FeatureSet({"test": features}, ["box", "cone"], {"source": "x"}).save(path)
    with np.load(path) as file:
        arrays = dict(file)
    assert FeatureSet.load(path).split("test").labels.tolist() == [0, 1]
    np.savez(path, **arrays | changed)
    with pytest.raises(ValueError, match=rf"features.npz is not a file of features \(.*{reason}"):
        FeatureSet.load(path)
