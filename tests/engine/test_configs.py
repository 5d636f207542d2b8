"""Every config in ``configs/`` builds, does one step on tiny data, and predicts what its metric takes."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from pointmcd.engine import load_config
from pointmcd.registry import DATASETS, METRICS, MODELS

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.py"))


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def config(request):
    """A config on shapes of 128 points, with parts where it asks for them, and without downloads."""
    dataset = Config.fromfile(str(request.param)).train_dataloader.dataset
    needs_parts = dataset.get("parts") or dataset.get("part_views")
    data = request.getfixturevalue("parts_set" if needs_parts else "taught_set")
    config = load_config(request.param, {"data_root": str(data)})
    overrides = {"data_root": str(data), "train_dataloader.num_workers": 0}
    if "backbone" in config.model:
        for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
            if config.get(loader):
                overrides[f"{loader}.dataset.num_points"] = 128
        if config.model.backbone.type.startswith("PointNet2"):
            overrides["model.backbone.num_points"] = [64, 16]
        if config.model.backbone.type == "PointTransformer":
            overrides["model.backbone.depth"] = 2
    else:
        weights = {"pretrained": False, "checkpoint": None}
        overrides |= {f"model.{name}": value for name, value in weights.items() if name in config.model}
    return load_config(request.param, overrides)


def test_one_step(config):
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    dataset = DATASETS.build(config.train_dataloader.dataset)
    shapes = range(0, len(dataset), len(dataset) // 8)
    batch = model.data_preprocessor(dataset.__getitems__(shapes), True)
    losses = model(mode="loss", **batch)
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{name} has no gradient"
        assert parameter.grad.isfinite().all(), name
    if config.model.type == "PointMCD":
        assert losses.keys() & {"loss_view", "loss_logit", "loss_point", "loss_cosine"}
        assert all(value > 0 for value in losses.values())
    if config.get("val_evaluator"):
        metric = METRICS.build(config.val_evaluator)
        batch = DATASETS.build(config.val_dataloader.dataset).__getitems__(range(4))
        with torch.no_grad():
            metric.process(batch, model.eval()(mode="predict", **batch))
        assert all(0 <= value <= 100 for value in metric.evaluate(4).values())
