"""Robustness of exported students: the table, the picture, and what cannot be compared."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pointmcd.apis import export_student, load_student
from pointmcd.apis.student_folder import write_student_folder
from pointmcd.checkpoint import read_checkpoint
from pointmcd.commands import robustness
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.engine import load_config
from pointmcd.evaluation.robustness import are_right, corrupted_cloud, measure, resized
from pointmcd.registry import MODELS

CONFIG = Path(__file__).resolve().parents[2] / "configs/baseline_pointnet_meshes.py"


@pytest.fixture(scope="module")
def students(tiny_set, tmp_path_factory):
    """PointNets with random weights, two that were "trained" as the config says and one turned about z."""
    folder = tmp_path_factory.mktemp("students")
    for name, transforms in (("a", []), ("b", []), ("turned", [{"type": "RandomRotate"}])):
        overrides = {"data_root": str(tiny_set), "model.backbone.out_channels": 32}
        overrides |= {f"{split}_dataloader.dataset.num_points": 100 for split in ("train", "val", "test")}
        config = load_config(CONFIG, overrides)
        config.model.data_preprocessor.transforms = transforms
        torch.manual_seed(len(name))
        state = MODELS.build(config.model).state_dict()
        torch.save({"state_dict": state, "meta": {}}, folder / "epoch_1.pth")
        export_student(config, folder / "epoch_1.pth", folder / f"{name}.pth")
    shutil.copy(folder / "turned.pth", folder / "again.pth")
    return folder


def test_table_picture_and_report(students, tiny_set, tmp_path, capsys):
    out = tmp_path / "deep/report.json"
    words = [f"one={students}/a.pth", f"one={students}/b.pth"]
    words += [f"two={students}/turned.pth", f"two={students}/again.pth", "--data", str(tiny_set)]
    names = ["rotation_z", "rotation_so3", "gaussian", "global_dropout", "occlusion"]
    robustness.main([*words, "--corruptions", *names, "--out", str(out)])
    printed = " ".join(capsys.readouterr().out.split())
    report = json.loads(out.read_text())
    assert out.with_suffix(".png").stat().st_size > 10_000
    assert [one["trained_on_rotations"] for one in report["students"].values()] == ["I", "z"]
    assert list(report["rows"]) == [
        "clean", "rotation ·/z", "rotation ·/SO3", "gaussian", "global dropout", "occlusion",
        "mean of those with severities",
    ]  # fmt: skip
    split = PreparedSet(tiny_set).split("test")
    by_hand = load_student(students / "turned.pth").probabilities(np.array(split.points[:, :100]))
    clean = report["rows"]["clean"]["two"]
    assert clean["mean"] == pytest.approx(100 * (by_hand.argmax(-1).numpy() == split.labels).mean())
    assert set(clean["less_first"]) == {"mean", "low", "high", "clear"}
    assert np.array(report["accuracy_by_seed_and_severity"]["gaussian"]["one"]).shape == (2, 5)
    assert "12 shapes, 2 seeds, severities 1, 2, 3, 4, 5" in printed


def test_some_severities_are_those_of_all(students, tiny_set):
    split = PreparedSet(tiny_set).split("test")
    one = {"a": [load_student(students / "a.pth")]}
    names = ["rotation_z", "gaussian"]
    every, some = measure(one, split, names), measure(one, split, names, severities=[2, 5])
    np.testing.assert_array_equal(some["gaussian"]["a"], every["gaussian"]["a"][[1, 4]])
    np.testing.assert_array_equal(some["rotation_z"]["a"], every["rotation_z"]["a"])
    for wrong in ([], [6]):
        with pytest.raises(ValueError, match="severities are 1 to 5"):
            measure(one, split, names, severities=wrong)


def test_clouds_are_as_students_are_to_see_them(tiny_set):
    split = PreparedSet(tiny_set).split("test")
    np.testing.assert_array_equal(corrupted_cloud(split, 0, "clean", 0, 100), split.points[0, :100])
    for name, count in (("global_dropout", 75), ("background", 102), ("occlusion", 100), ("depth_scan", 100)):
        cloud = corrupted_cloud(split, 0, name, 1, 100)
        assert cloud.shape == (count, 3)
        assert cloud.dtype == np.float32
        if name != "global_dropout":  # scaled anew
            assert np.linalg.norm(cloud, axis=1).max() <= 1 + 1e-6
            if len(np.unique(cloud, axis=0)) > 100:
                assert np.linalg.norm(cloud, axis=1).max() == pytest.approx(1, abs=1e-6)


def test_too_few_points_are_given_over_and_over_too_many_thinned_evenly():
    cloud = np.arange(9.0).reshape(3, 3)
    np.testing.assert_array_equal(resized(cloud, 7), cloud[[0, 1, 2, 0, 1, 2, 0]])
    line = np.stack([np.arange(100.0), np.zeros(100), np.zeros(100)], 1)
    assert sorted(resized(line, 3)[:, 0]) == [0, 49, 99]


def test_students_that_see_different_numbers_of_points_are_compared(students, tiny_set):
    more = load_student(students / "a.pth")
    more.num_points = 128
    split = PreparedSet(tiny_set).split("test")
    right = are_right({"a": [load_student(students / "a.pth")], "more": [more]}, split, "gaussian", 1)
    assert {name: one.shape for name, one in right.items()} == {"a": (1, 12), "more": (1, 12)}


def test_what_cannot_be_compared_is_said(students, tiny_set, parts_set, tmp_path, capsys):
    a = str(students / "a.pth")
    cases = {
        "different numbers of files: x 2, b 1": [f"x={a}", f"x={students}/again.pth", f"{students}/b.pth"],
        "a.pth is given twice for one": [f"one={a}", f"one={a}"],
        "there is no corruption 'fog'": [a, "--corruptions", "fog"],
        "trained with different rotations": [f"x={a}", f"x={students}/turned.pth"],
    }
    for message, words in cases.items():
        with pytest.raises(SystemExit, match=message):
            robustness.main([*words, "--data", str(tiny_set), "--out", str(tmp_path / "report.json")])
    with pytest.raises(SystemExit, match="knows 4 classes, the set has 3"):
        robustness.main([a, "--data", str(parts_set)])
    assert not (tmp_path / "report.json").exists()


def test_a_file_without_a_word_on_rotations_or_with_a_wrong_one(students, tmp_path):
    exported = torch.load(students / "turned.pth", weights_only=True)
    assert exported.pop("rotation") == "z"
    torch.save(exported, tmp_path / "old.pth")
    assert load_student(tmp_path / "old.pth").rotation is None
    for wrong in ("sideways", 3, torch.zeros(2)):
        torch.save({**exported, "rotation": wrong}, tmp_path / "wrong.pth")
        with pytest.raises(ValueError, match="its rotation is"):
            load_student(tmp_path / "wrong.pth")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a=a.pth", "--out", "a.pth"], "reports are saved as .json"),
        (["a=a.pth", "--out", "a.json"], "a.png is what is read"),
        (["=a.pth"], "give a name before ="),
        (["a=a.pth", "--seed", "-1"], "--seed is -1"),
        (["a=a.pth", "--device", "mars"], "device mars cannot be used"),
    ],
)
def test_what_would_do_harm_or_nothing_is_refused_first(
    students, tiny_set, tmp_path, monkeypatch, words, message
):
    monkeypatch.chdir(tmp_path)
    for name in ("a.pth", "a.png"):
        Path(name).write_bytes((students / "a.pth").read_bytes())
    words = ["a=a.png" if words[-1] == "a.json" and word == "a=a.pth" else word for word in words]
    with pytest.raises(SystemExit, match=message):
        robustness.main([*words, "--data", str(tiny_set)])
    assert Path("a.pth").read_bytes() == Path("a.png").read_bytes() == (students / "a.pth").read_bytes()


def test_a_student_in_a_folder(students, tiny_set, tmp_path):
    """Its report has no sum of a file."""
    write_student_folder(read_checkpoint(students / "a.pth"), tmp_path / "hub", "card")
    out = tmp_path / "report.json"
    words = ["--data", str(tiny_set), "--corruptions", "tilt", "--severities", "1", "--out", str(out)]
    robustness.main([f"hub={tmp_path / 'hub'}", *words])
    assert json.loads(out.read_text())["students"]["hub"]["sha256"] == [None]
