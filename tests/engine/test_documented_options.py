"""What docs/configs.md says to type for gradient accumulation, early stopping and W&B does what it says."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import torch

from pointmcd.commands import train
from pointmcd.engine import build_runner, load_config
from pointmcd.engine.work_dir import check_unfinished

REPOSITORY = Path(__file__).resolve().parents[2]
TINY = [f"{split}_dataloader.dataset.num_points=64" for split in ("train", "val", "test")]
TINY += ["train_dataloader.batch_size=8", "default_hooks.checkpoint.interval=5"]


def documented(row):
    """The ``--cfg-options`` of a row of the table: its first span of code that sets something."""
    text = (REPOSITORY / "docs/configs.md").read_text("utf-8")
    (line,) = re.findall(rf"^\| {re.escape(row)} \| (.*) \|$", text, re.MULTILINE)
    return shlex.split(
        next(code for code in re.findall(r"`([^`]*)`", line) if "=" in code and "==" not in code)
    )


def runner_of(data, folder, *options):
    config = load_config("baseline_pointnet_meshes", [f"data_root={data}", *TINY, *options])
    config.work_dir = str(folder)
    return build_runner(config)


def test_gradient_accumulation_makes_an_update_of_four_batches(taught_set, tmp_path):
    epochs = ["train_cfg.max_epochs=4", "train_cfg.val_interval=9"]  # of 3 batches
    runner_of(taught_set, tmp_path, *documented("gradient accumulation"), *epochs).train()
    optimizer = torch.load(tmp_path / "epoch_4.pth", weights_only=True)["optimizer"]
    assert {int(state["step"]) for state in optimizer["state"].values()} == {3}


def test_early_stopping_ends_where_nothing_improves_and_stores_the_last_epoch(taught_set, tmp_path):
    options = [*documented("early stopping"), "custom_hooks.0.min_delta=101", "train_cfg.max_epochs=9"]
    runner = runner_of(taught_set, tmp_path, *options)
    runner.train()
    assert runner.epoch == 4  # the first, and three that are no better
    assert Path((tmp_path / "last_checkpoint").read_text()).name == "epoch_4.pth"
    assert torch.load(tmp_path / "epoch_4.pth", weights_only=True)["meta"]["epoch"] == 4
    with pytest.raises(ValueError, match=r"holds a finished training \(epoch_4.pth\)"):
        check_unfinished(tmp_path)


def test_weights_and_biases_is_a_backend_of_the_config(taught_set, tmp_path, monkeypatch):
    """Runs offline where wandb is installed; elsewhere its lack is what ends the run."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    options = [*documented("Weights & Biases"), "train_cfg.max_epochs=1"]
    if importlib.util.find_spec("wandb") is None:
        words = [f"data_root={taught_set}", *TINY, *options]
        with pytest.raises(SystemExit, match="pip install wandb"):
            train.main(["baseline_pointnet_meshes", "--work-dir", str(tmp_path), "--cfg-options", *words])
        return
    runner_of(taught_set, tmp_path, *options).train()
    assert list(tmp_path.rglob("run-*.wandb"))
