"""tools/cache_teacher.py on a small prepared set, and what students then find."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pointmcd.datasets.shapes import PreparedShapes
from pointmcd.datasets.teacher_cache import TeacherCache
from pointmcd.models import MultiViewTeacher

TOOLS = Path(__file__).resolve().parents[2] / "tools"
CONFIG = """
model = dict(type="MultiViewTeacher", trunk="test_resnet", channels=16, num_classes=None)
data_root = None
train_dataloader = dict(dataset=dict(split="train"))
val_dataloader = dict(batch_size=5, num_workers=0)
"""


@pytest.fixture
def root(tiny_set, tmp_path):
    return shutil.copytree(tiny_set, tmp_path / "set")


@pytest.fixture
def run(monkeypatch, root, tmp_path):
    """The tool, given a checkpoint of a teacher with random weights."""
    monkeypatch.syspath_prepend(str(TOOLS))
    import cache_teacher

    torch.manual_seed(0)
    teacher = MultiViewTeacher(num_classes=4, trunk="test_resnet", channels=16).eval()
    checkpoint, config = tmp_path / "epoch_1.pth", tmp_path / "teacher_tiny_shapes.py"
    torch.save({"state_dict": teacher.state_dict()}, checkpoint)
    config.write_text(CONFIG)

    def call(*words, checkpoint=checkpoint):
        overrides = ["--cfg-options", f"data_root={root}", *words]
        monkeypatch.setattr(sys, "argv", ["cache_teacher.py", str(config), str(checkpoint), *overrides])
        cache_teacher.main()
        return teacher

    return call


def test_rows_are_what_the_teacher_says(run, root, capsys):
    teacher = run()
    cache = TeacherCache(root, "tiny")  # from the config's name
    for split in ("train", "test"):
        dataset = PreparedShapes(str(root), split, num_points=1, views="all")
        batch = dataset.__getitems__(range(len(dataset)))
        said, rows = teacher.describe(batch), cache.split(split).rows(np.arange(len(dataset)))
        for name, value in rows.items():
            torch.testing.assert_close(value, said[name], rtol=2e-3, atol=1e-4)
        right = (said["logits"].argmax(1) == batch["label"]).float().mean()
        assert cache.meta["accuracy"][split]["overall_accuracy"] == pytest.approx(100 * float(right))
    assert cache.meta["teacher"]["trunk"] == "test_resnet"
    assert "held_out" not in capsys.readouterr().out


def test_a_teacher_of_a_part_of_train_is_tested_on_the_other(run, root, capsys):
    run("train_dataloader.dataset.split=fit")
    assert "held_out" in capsys.readouterr().out
    assert TeacherCache(root, "tiny").meta["accuracy"].keys() == {"train", "fit", "held_out", "test"}


def test_what_does_not_fit_is_named(run, tmp_path):
    with pytest.raises(SystemExit, match="there is no checkpoint"):
        run(checkpoint=tmp_path / "none.pth")
    with pytest.raises(SystemExit, match=r"normalization='unit'.*normalization='imagenet'"):
        run("model.normalization=imagenet")
    with pytest.raises(SystemExit, match="does not fit the config"):
        run("model.channels=8")
