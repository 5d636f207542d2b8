"""The compared trainings differ in the method alone, and each does one step."""

from pathlib import Path

import pytest
import torch

from pointmcd.engine import load_config
from pointmcd.evaluation.encoders import points_seen
from pointmcd.registry import DATASETS, MODELS

CONFIGS = sorted((Path(__file__).resolve().parents[1] / "configs").glob("*.py"))
NETWORK = {"type": "ImageNetwork", "trunk": "test_resnet", "levels": [1, 3], "random_weights": True}


def options(path, cached_set):
    """The data; of it one teacher is cached, which takes the place of the frozen one."""
    teacher = {"train_dataloader.dataset.teacher": "autoencoder"} if path.stem == "pointmcd_frozen" else {}
    return {"data_root": str(cached_set), **teacher}


def test_one_backbone_the_same_points_and_epochs(cached_set):
    configs = [load_config(path, options(path, cached_set)) for path in CONFIGS]
    assert len(configs) == 8
    for config in configs:
        assert config.model.backbone == configs[0].model.backbone
        assert config.train_cfg.max_epochs == configs[0].train_cfg.max_epochs
        assert config.train_dataloader.batch_size == configs[0].train_dataloader.batch_size
        assert config.data_root == config.train_dataloader.dataset.data_root
        assert points_seen(config) == 512


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_one_step(path, cached_set):
    overrides = options(path, cached_set)
    if path.stem == "mvnet":
        overrides["model.teacher"] = {**NETWORK, "pretrained": False}  # in place of ImageNet's weights
    if path.stem.startswith("cross_correspondence"):
        overrides |= {
            f"model.data_preprocessor.transforms.{i}.{key}": 64 for i, key in ((0, "num_points"), (5, "size"))
        }
        overrides["model.view_encoder.size"] = 64
    if path.stem == "cross_correspondence_frozen":
        overrides |= {"model.view_encoder.trunk": "test_resnet", "model.view_encoder.pretrained": False}
    config = load_config(path, overrides)
    config.train_dataloader.dataset.num_points = 128
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    dataset = DATASETS.build(config.train_dataloader.dataset)
    batch = model.data_preprocessor(dataset.__getitems__(range(4)), True)
    loss, _ = model.parse_losses(model(mode="loss", **batch))
    loss.backward()
    for name, parameter in model.backbone.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
