"""Training through the Runner: resuming, checkpoints, mixed precision, two processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pointmcd.engine import build_runner, load_config

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = REPOSITORY / "configs/pointmcd_pointnet_modelnet.py"
WORKER = Path(__file__).with_name("train_worker.py")


def tiny(data, work_dir, **more):
    """PointMCD on 24 shapes, three steps an epoch."""
    overrides = {
        "data_root": str(data),
        "train_dataloader.batch_size": 8,
        "train_dataloader.dataset.num_points": 64,
        "val_dataloader.dataset.num_points": 64,
        "val_dataloader.batch_size": 4,
        "train_cfg.max_epochs": 4,
        "train_cfg.val_interval": 4,
        "default_hooks.checkpoint.interval": 2,
        "default_hooks.checkpoint.max_keep_ckpts": -1,
        **{key.replace("__", "."): value for key, value in more.items()},
    }
    config = load_config(CONFIG, overrides)
    config.work_dir = str(work_dir)
    return config


def load(path):
    return torch.load(path, weights_only=True)


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


def test_resume_is_bit_exact(taught_set, tmp_path):
    build_runner(tiny(taught_set, tmp_path / "whole")).train()
    config = tiny(taught_set, tmp_path / "resumed")
    config.resume, config.load_from = True, str(tmp_path / "whole/epoch_2.pth")
    build_runner(config).train()
    whole, resumed = load(tmp_path / "whole/epoch_4.pth"), load(tmp_path / "resumed/epoch_4.pth")
    assert_equal(whole["state_dict"], resumed["state_dict"])
    for first, second in zip(
        whole["optimizer"]["state"].values(), resumed["optimizer"]["state"].values(), strict=True
    ):
        assert torch.equal(first["momentum_buffer"], second["momentum_buffer"])
    assert (
        whole["message_hub"]["log_scalars"]["train/loss"]
        == resumed["message_hub"]["log_scalars"]["train/loss"]
    )
    assert not any(key.startswith("teacher") for key in whole["state_dict"])


def test_the_teacher_stands_beside_the_student(taught_set, tmp_path):
    runner = build_runner(tiny(taught_set, tmp_path, train_cfg__max_epochs=1, train_cfg__val_interval=1))
    runner.train()
    (log,) = tmp_path.glob("*/vis_data/scalars.json")
    last = json.loads(log.read_text().splitlines()[-1])
    assert last["teacher_overall_accuracy"] == 75.0
    assert last["teacher_mean_class_accuracy"] == 70.0
    assert 0 <= last["overall_accuracy"] <= 100


def test_options_of_the_config_train(taught_set, tmp_path):
    config = tiny(
        taught_set,
        tmp_path,
        train_cfg__max_epochs=1,
        optim_wrapper__type="AutocastOptimWrapper",
        optim_wrapper__clip_grad={"max_norm": 1.0},
    )
    config.custom_hooks.append({"type": "EMAHook", "momentum": 0.1})
    runner = build_runner(config)
    before = runner.model.head.classifier.weight.clone()
    runner.train()
    assert runner.model.head.classifier.weight.isfinite().all()
    assert not torch.equal(before, runner.model.head.classifier.weight)
    (saved,) = tmp_path.glob("epoch_*.pth")
    assert "ema_state_dict" in load(saved)


def test_torch_compile_traces_the_forward_pass(taught_set, tmp_path):
    config = tiny(taught_set, tmp_path, train_cfg__max_epochs=1)
    config.custom_hooks.append({"type": "CompileHook", "backend": "aot_eager"})
    plain = build_runner(tiny(taught_set, tmp_path / "plain", train_cfg__max_epochs=1))
    plain.train()
    compiled = build_runner(config)
    compiled.train()
    for key, value in plain.model.state_dict().items():
        torch.testing.assert_close(compiled.model.state_dict()[key], value, rtol=1e-3, atol=1e-4)


def train_in_processes(count, data, work_dir, batch_norm):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={count}"]
    arguments = [str(WORKER), str(data), str(work_dir), batch_norm]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr[-8000:]
    return json.loads((work_dir / "losses.json").read_text()), load(work_dir / "epoch_1.pth")["state_dict"]


@pytest.mark.parametrize("batch_norm", ["eval", "sync"])
def test_two_processes_train_as_one(taught_set, tmp_path, batch_norm):
    """Three steps in float64: losses agree to 1e-9, weights to 1e-8; what is left is the order of sums."""
    one_loss, one = train_in_processes(1, taught_set, tmp_path / "one", batch_norm)
    two_loss, two = train_in_processes(2, taught_set, tmp_path / "two", batch_norm)
    assert len(one_loss) == 3
    assert two_loss == pytest.approx(one_loss, rel=1e-9)
    assert one.keys() == two.keys()
    for key, value in one.items():
        torch.testing.assert_close(
            two[key], value, rtol=1e-8, atol=1e-10, msg=lambda text, key=key: f"{key}: {text}"
        )


def test_a_batch_that_does_not_divide_is_refused(taught_set, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ValueError, match=r"train_dataloader.batch_size is 8, .* is not divisible by 3"):
        build_runner(tiny(taught_set, tmp_path))
