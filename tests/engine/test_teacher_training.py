"""Training teachers of single views: class-balanced draws, cosine by iteration, resuming."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook

from pointmcd.engine import build_runner, load_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def tiny(data, work_dir, name, **more):
    """Two iterations an epoch, four epochs."""
    overrides = {
        "data_root": str(data),
        "model.trunk": "test_resnet",
        "model.pretrained": False,
        "model.checkpoint": None,
        "model.channels": 16,
        "train_dataloader.batch_size": 4,
        "train_dataloader.num_workers": 0,
        "train_dataloader.sampler.num_samples": 8,
        "train_cfg.max_epochs": 4,
        "train_cfg.val_interval": 4,
        "default_hooks.checkpoint.interval": 2,
        "default_hooks.checkpoint.max_keep_ckpts": -1,
        **{key.replace("__", "."): value for key, value in more.items()},
    }
    config = load_config(CONFIGS / name, overrides)
    config.work_dir = str(work_dir)
    return config


@pytest.mark.parametrize("name", ["teacher_autoencoder_shapenetpart.py", "teacher_parts_shapenetpart.py"])
def test_resume_is_bit_exact(name, parts_set, tmp_path):
    runner = build_runner(tiny(parts_set, tmp_path / "whole", name))
    runner.train()
    config = tiny(parts_set, tmp_path / "resumed", name)
    config.resume, config.load_from = True, str(tmp_path / "whole/epoch_2.pth")
    build_runner(config).train()
    whole, resumed = (
        torch.load(tmp_path / run / "epoch_4.pth", weights_only=True) for run in ("whole", "resumed")
    )
    for key, value in whole["state_dict"].items():
        assert torch.equal(value, resumed["state_dict"][key]), key


def test_cosine_goes_by_iteration(parts_set, tmp_path):
    """The official schedule: eight steps from 1e-4 to 5e-6."""
    config = tiny(parts_set, tmp_path, "teacher_autoencoder_shapenetcore.py")
    runner = build_runner(config)
    rates = []

    class RateHook(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            rates.append(runner.optim_wrapper.get_lr()["lr"][0])

    runner.register_hook(RateHook())
    runner.train()
    expected = 5e-6 + (1e-4 - 5e-6) * (1 + np.cos(np.pi * np.arange(8) / 8)) / 2
    np.testing.assert_allclose(rates, expected, rtol=1e-9)


def test_a_cosine_over_iterations_is_as_long_as_the_training(parts_set, tmp_path):
    path = tmp_path / "config.py"
    path.write_text(
        f"""
_base_ = {str(CONFIGS / "teacher_parts_shapenetpart.py")!r}
param_scheduler = [dict(_delete_=True, type="CosineAnnealingLR", T_max=None, by_epoch=False)]
train_cfg = dict(_delete_=True, by_epoch=False, max_iters=123)
"""
    )
    assert load_config(path, {"data_root": str(parts_set)}).param_scheduler[0].T_max == 123
