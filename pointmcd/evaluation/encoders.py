"""Frozen encoders to be evaluated, trained or random, and their features; those of cached teachers."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pointmcd.batch import Batch, network_input
from pointmcd.checkpoint import read_checkpoint, read_state_dict
from pointmcd.datasets.prepared_shapes import PreparedShapes, whole_batch
from pointmcd.engine.agreement import check_backbone
from pointmcd.engine.agreement import inputs_seen as inputs_seen
from pointmcd.engine.agreement import points_seen as points_seen
from pointmcd.engine.pretrained import load_backbone
from pointmcd.evaluation.features import KINDS, Features
from pointmcd.models import PointModel
from pointmcd.progress import track
from pointmcd.registry import MODELS


def build_encoder(model: dict[str, Any], with_head: bool = False, seed: int = 0) -> PointModel:
    """Return the backbone of a model's config with random weights, batch norms as they start.

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
    """Return the backbone of a checkpoint of any model of the toolbox; its head only where it is asked for.

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
    if Path(checkpoint).suffix != ".safetensors":
        check_backbone(model["backbone"], read_checkpoint(checkpoint), checkpoint)
    load_backbone(encoder.backbone, checkpoint)
    if with_head:
        state = read_state_dict(checkpoint)
        try:
            encoder.load_state_dict({key: state[key] for key in encoder.state_dict() if key in state})
        except RuntimeError as error:
            raise ValueError(
                f"{checkpoint} does not hold the head of this config; an exported student "
                f"(pointmcd export) brings its own: {error}"
            ) from error
    return encoder


def teacher_features(data_root: str | Path, teacher: str, split: str) -> Features:
    """Return the view descriptors (S, V, D) that a cached teacher gave the shapes of a split.

    Raises:
        FileNotFoundError: There is no such cache.
        ValueError: It has no such split, or is of other data.
    """
    dataset = PreparedShapes(str(data_root), split, num_points=1, teacher=teacher)
    assert dataset.teacher is not None
    if "view_descriptors" not in dataset.teacher.arrays:
        raise ValueError(f"the teacher {teacher} of {data_root} has no view descriptors, as it sees no views")
    return features_of(dataset, dataset.teacher.rows(dataset.rows)["view_descriptors"].numpy())


@torch.inference_mode()
def extract(
    model: nn.Module,
    dataset: PreparedShapes,
    kind: str = "max",
    batch_size: int = 32,
    progress: bool = False,
) -> Features:
    """Return what a frozen encoder says of every shape of a dataset, in its order, without augmentation.

    Args:
        model: With a ``backbone``; for ``descriptor`` also with a classification head. It is left in eval
            mode, and runs where its weights are.
        dataset: Points and labels.
        kind: One of ``KINDS``.
        batch_size: Shapes at a time; makes no difference but for rounding.
        progress: Show a bar.

    Returns:
        Features (S, C).

    Raises:
        ValueError: There is no such kind, or the model has no descriptor.
    """
    if kind not in KINDS:
        raise ValueError(f"feature {kind!r} is not known; choose {', '.join(KINDS)}")
    model.eval()
    device = next(model.parameters()).device
    loader = DataLoader(dataset, batch_size, collate_fn=whole_batch)
    batches = track(loader, f"features of {dataset.split_name}") if progress else loader
    values = [_features(model, batch, kind, device).float().cpu() for batch in batches]
    return features_of(dataset, torch.cat(values).numpy())


def features_of(dataset: PreparedShapes, values: np.ndarray) -> Features:
    """Return features (S, ...) of a dataset's shapes, in its order, with their labels and names."""
    return Features(values, dataset.labels, dataset.names)


def _features(model: Any, batch: Batch, kind: str, device: torch.device) -> Tensor:
    """Return (B, C)."""
    points = network_input(batch, model.backbone.in_channels).to(device)
    if kind == "descriptor":
        if model.head is None or model.dense:
            raise ValueError("this model has no classification head, and so no descriptor; choose another")
        return model(points=points)["descriptor"]
    points = model.backbone(points)["point_feats"]
    pooled = {"max": points.amax(1), "mean": points.mean(1)}
    return torch.cat([pooled[part] for part in kind.split("+")], -1)
