"""tools/test.py and tools/export_student.py on part segmentation, as they are typed."""

import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.engine import load_config
from pointmcd.evaluation.part_segmentation import mean_ious, shape_ious
from pointmcd.registry import MODELS

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = REPOSITORY / "configs/baseline_pointnet_builtinpart.py"


@pytest.fixture
def tool(monkeypatch, capsys):
    """Run a tool in this process and return what it printed."""

    def run(name, *words):
        command = import_module(f"pointmcd.commands.{Path(name).stem}")
        monkeypatch.setattr(sys, "argv", [name])
        command.main([str(word) for word in words])
        return capsys.readouterr().out

    return run


@pytest.fixture(scope="module")
def checkpoint(parts_set, tmp_path_factory):
    """A network whose running statistics have moved, saved as training saves it."""
    config = load_config(CONFIG, {"data_root": str(parts_set), **POINTS})
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    for _ in range(5):
        model.student_features(torch.rand(6, 100, 3) - 0.5, torch.arange(6) % 3)
    path = tmp_path_factory.mktemp("work") / "epoch_1.pth"
    torch.save({"state_dict": model.state_dict(), "meta": {}}, path)
    return path


POINTS = {f"{split}_dataloader.dataset.num_points": 100 for split in ("train", "val", "test")}


def options(root):
    return ["--cfg-options", f"data_root={root}", *(f"{key}={value}" for key, value in POINTS.items())]


def test_report_of_a_student(tool, parts_set, checkpoint, tmp_path):
    said = tool("test.py", CONFIG, checkpoint, "--work-dir", tmp_path, "--votes", 2, *options(parts_set))
    report = json.loads((tmp_path / "test_epoch_1.json").read_text())
    test = PreparedSet(parts_set).split("test")
    predictions = np.load(tmp_path / "test_epoch_1_parts.npy")
    class_parts = PreparedSet(parts_set).class_parts
    ious = shape_ious(test.parts[:, :100], predictions, test.labels, class_parts)
    assert report["labels"] == test.labels.tolist()
    assert report["ious"] == pytest.approx(ious.tolist())
    for name, value in mean_ious(ious, test.labels).items():
        assert report[name] == pytest.approx(value)
        assert f"{name.replace('_miou', ' mIoU')}: {value:.2f} %" in said
    assert report["point_accuracy"] == pytest.approx(100 * (predictions == test.parts[:, :100]).mean())
    assert report["protocol"] == "standard"
    assert report["votes"] == 2
    assert f"instance mIoU with 2 votes: {report['voted']['instance_miou']:.2f} %" in said
    chair = report["categories"][0]
    assert (chair["name"], chair["shapes"]) == ("chair", 2)
    assert chair["miou"] == pytest.approx(100 * ious[test.labels == 0].mean())
    weakest = min(chair["part_ious"], key=chair["part_ious"].__getitem__)
    assert f"{weakest} ({chair['part_ious'][weakest]:.1f})" in said
    assert (tmp_path / "test_epoch_1.png").stat().st_size > 10_000


def test_the_official_protocol_by_a_flag(tool, parts_set, checkpoint, tmp_path):
    words = (CONFIG, checkpoint, "--work-dir", tmp_path, "--protocol", "official", *options(parts_set))
    tool("test.py", *words)
    report = json.loads((tmp_path / "test_epoch_1_official.json").read_text())
    test = PreparedSet(parts_set).split("test")
    predictions = np.load(tmp_path / "test_epoch_1_official_parts.npy")
    class_parts = PreparedSet(parts_set).class_parts
    ious = shape_ious(test.parts[:, :100], predictions, test.labels, class_parts, "official")
    assert report["protocol"] == "official"
    assert report["ious"] == pytest.approx(ious.tolist())
    parts = [set(class_parts[label]) for label in test.labels]
    assert any(set(row.tolist()) - known for row, known in zip(predictions, parts, strict=True))


def test_export(tool, parts_set, checkpoint, tmp_path):
    said = tool("export_student.py", CONFIG, checkpoint, tmp_path / "student.pth", *options(parts_set))
    assert "10 parts of 3 categories" in said


def test_the_protocol_is_of_part_segmentation_only(tool, taught_set, checkpoint):
    words = (REPOSITORY / "configs/baseline_pointnet_modelnet.py", checkpoint, "--protocol", "official")
    with pytest.raises(SystemExit, match=r"test_evaluator.protocol: 'protocol' is not known"):
        tool("test.py", *words, "--cfg-options", f"data_root={taught_set}")
