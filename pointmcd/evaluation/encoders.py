"""Frozen encoders to be evaluated: of a checkpoint, of an exported student, random, or a cached teacher."""

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from pointmcd.checkpoint import read_state_dict
from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.engine.pretrained import load_backbone
from pointmcd.evaluation.features import Features, features_of
from pointmcd.models import PointModel
from pointmcd.registry import MODELS


def build_encoder(model: dict[str, Any], with_head: bool = False, seed: int = 0) -> PointModel:
    """The backbone of a model's config with random weights, batch norms as they start.

    Args:
        model: ``config.model``, of whatever kind, with a ``backbone``.
        with_head: Build the head too.
        seed: Of the weights.

    Raises:
        ValueError: The config has no backbone, or no head to build.
    """
    for part in ("backbone", "head") if with_head else ("backbone",):
        if model.get(part) is None:
            raise ValueError(f"the model of this config ({model.get('type')}) has no {part}")
    head = model["head"] if with_head else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODELS.build({"type": "PointModel", "backbone": model["backbone"], "head": head}).eval()


def load_encoder(model: dict[str, Any], checkpoint: str | Path, with_head: bool = False) -> PointModel:
    """The backbone of a checkpoint of any model of the toolbox; its head only where it is asked for.

    Args:
        model: ``config.model`` of the training.
        checkpoint: A checkpoint of that training.
        with_head: Load the head too.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: It does not hold the backbone of this config (missing and unexpected keys are listed), or
            not its head.
    """
    encoder = build_encoder(model, with_head)
    load_backbone(encoder.backbone, checkpoint)
    if with_head:
        state = read_state_dict(checkpoint)
        try:
            encoder.load_state_dict({key: state[key] for key in encoder.state_dict() if key in state})
        except RuntimeError as error:
            raise ValueError(
                f"{checkpoint} does not hold the head of this config; an exported student "
                f"(tools/export_student.py) brings its own: {error}"
            ) from error
    return encoder


def points_seen(config: Config) -> int:
    """N, how many points of a shape the network of a config looks at."""
    loader = config.get("test_dataloader")
    if loader is not None:
        return loader.dataset.num_points
    for transform in config.model.get("data_preprocessor", {}).get("transforms") or []:
        if transform["type"] == "RandomSubset":
            return transform["num_points"]
    return config.train_dataloader.dataset.num_points


def teacher_features(data_root: str | Path, teacher: str, split: str) -> Features:
    """The view descriptors (S, V, D) that a cached teacher gave the shapes of a split.

    Raises:
        FileNotFoundError: There is no such cache.
        ValueError: It has no such split, or is of other data.
    """
    dataset = PreparedShapes(str(data_root), split, num_points=1, teacher=teacher)
    rows = dataset.teacher.rows(dataset.rows)["view_descriptors"].numpy()
    return features_of(dataset, rows)
