"""The tools as they are typed: train, test, compare, export, on one process and on two; their messages."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pointmcd.commands.report import main as make_report
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.files import file_sha256

REPOSITORY = Path(__file__).resolve().parents[2]
TOOLS = sorted(path.name for path in (REPOSITORY / "tools").glob("[a-z]*.py"))
CONFIG = "configs/pointmcd_pointnet_modelnet.py"
DISTILLED = (
    "train_dataloader.batch_size=8",
    "train_dataloader.dataset.num_points=64",
    "val_dataloader.dataset.num_points=64",
    "test_dataloader.dataset.num_points=64",
    "train_cfg.max_epochs=1",
)


def run(*words, cwd=REPOSITORY, **environment):
    """Run a command as from a shell with the environment activated."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", **environment}
    command = [str(word) for word in words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)


@pytest.fixture(scope="module")
def trained(taught_set, tmp_path_factory):
    """A work dir with one epoch of PointMCD on tiny data."""
    folder = tmp_path_factory.mktemp("work")
    done = run(
        "tools/train.py", CONFIG, "--work-dir", folder, "--seed", 3,
        "--cfg-options", f"data_root={taught_set}", *DISTILLED,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_train_leaves_logs_and_a_checkpoint(trained):
    checkpoint = torch.load(trained / "epoch_1.pth", weights_only=True)
    assert checkpoint["meta"]["seed"] == 3
    assert list(trained.glob("*/vis_data/events.out.tfevents*"))
    assert "teacher_overall_accuracy: 75.0" in next(trained.glob("*/*.log")).read_text()


def test_test_compare_and_export(trained, taught_set, tmp_path):
    options = ("--cfg-options", f"data_root={taught_set}", *DISTILLED)
    done = run("tools/test.py", CONFIG, trained / "epoch_1.pth", "--votes", 2, *options)
    assert done.returncode == 0, done.stderr
    assert "teacher overall accuracy: 75.00 %" in done.stdout
    report = json.loads((trained / "test_epoch_1.json").read_text())
    assert f"overall accuracy with 2 votes: {report['voted']['overall_accuracy']:.2f} %" in done.stdout
    assert len(report["predictions"]) == 12
    assert report["checkpoint_sha256"] == file_sha256(trained / "epoch_1.pth")
    tested_on = {"data_root": taught_set, "data_digest": PreparedSet(taught_set).digest, "split": "test"}
    assert {name: report[name] for name in tested_on} == {**tested_on, "data_root": str(taught_set)}
    scores = np.load(trained / "test_epoch_1_scores.npy")
    np.testing.assert_array_equal(scores.argmax(1), report["predictions"])
    make_report([str(trained)])  # which finds the set by what the test says
    assert (trained / "report.html").is_file()
    right = sum(a == b for a, b in zip(report["labels"], report["predictions"], strict=True))
    assert report["overall_accuracy"] == pytest.approx(100 * right / 12)
    assert (trained / "test_epoch_1.png").stat().st_size > 1000

    same = run(
        "tools/compare_runs.py",
        "--first",
        trained / "test_epoch_1.json",
        "--second",
        trained / "test_epoch_1.json",
    )
    assert "+0.00 points, no interval: too few shapes, or none that differ" in same.stdout

    done = run("tools/export_student.py", CONFIG, trained / "epoch_1.pth", tmp_path / "student.pth", *options)
    assert done.returncode == 0, done.stderr
    assert torch.load(tmp_path / "student.pth", weights_only=True)["class_names"][0] == "box"


def test_two_processes_from_the_shell(taught_set, tmp_path):
    done = run(
        "tools/dist_train.sh", CONFIG, 2, "--work-dir", tmp_path,
        "--cfg-options", f"data_root={taught_set}", *DISTILLED, PORT="29517",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "epoch_1.pth").is_file()


def test_a_script_asks_for_the_number_of_processes():
    done = run("tools/dist_train.sh", CONFIG)
    assert done.returncode == 2
    assert "how many processes? for example: tools/dist_train.sh" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_print_config_is_complete(taught_set):
    done = run(sys.executable, "tools/print_config.py", CONFIG, "--cfg-options", f"data_root={taught_set}")
    assert done.returncode == 0, done.stderr
    assert "num_classes=4" in done.stdout
    assert "num_views=4" in done.stdout


def test_without_the_packages_the_last_line_says_what_to_do():
    done = subprocess.run(
        [sys.executable, "-E", "-S", "tools/train.py"],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
    )
    assert done.returncode != 0
    assert done.stderr.strip().splitlines()[-1] == "source .venv/bin/activate"


@pytest.mark.parametrize("tool", TOOLS)
def test_help_is_there(tool, monkeypatch, capsys):
    assert os.access(REPOSITORY / "tools" / tool, os.X_OK)
    monkeypatch.syspath_prepend(str(REPOSITORY / "tools"))
    monkeypatch.setattr(sys, "argv", [tool, "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(REPOSITORY / "tools" / tool), run_name="__main__")
    assert end.value.code == 0
    assert "usage:" in capsys.readouterr().out
