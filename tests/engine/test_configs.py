"""Every config in ``configs/`` builds and does one step on tiny data."""

from pathlib import Path

import pytest
import torch

from pointmcd.engine import load_config
from pointmcd.registry import DATASETS, MODELS

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.py"))


def fitted_to(data, path):
    """The config on 8 shapes of 128 points, without downloads."""
    config = load_config(path, {"data_root": str(data)})
    overrides = {"data_root": str(data), "train_dataloader.batch_size": 8, "train_dataloader.num_workers": 0}
    if config.model.type == "MultiViewTeacher":
        overrides["model.pretrained"] = False
    else:
        for loader in ("train", "val", "test"):
            overrides[f"{loader}_dataloader.dataset.num_points"] = 128
        if config.model.backbone.type.startswith("PointNet2"):
            overrides["model.backbone.num_points"] = [64, 16]
    return load_config(path, overrides)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_one_step(path, taught_set):
    config = fitted_to(taught_set, path)
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    dataset = DATASETS.build(config.train_dataloader.dataset)
    batch = model.data_preprocessor(dataset.__getitems__(range(0, 24, 3)), True)
    losses = model(mode="loss", **batch)
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{name} has no gradient"
        assert parameter.grad.isfinite().all(), name
    if config.model.type == "PointMCD":
        assert losses["loss_view"] > 0
