"""What the trained networks say of a split, and whether they tell the same object from another."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from torch.utils.data import DataLoader

from pointmcd.checkpoint import load_weights, read_checkpoint, read_state_dict
from pointmcd.datasets.loader_workers import report_lost_batches
from pointmcd.datasets.prepared_shapes import PreparedShapes, whole_batch
from pointmcd.engine.agreement import check_backbone, config_of, plain
from pointmcd.evaluation.encoders import features_of
from pointmcd.evaluation.features import Features
from pointmcd.registry import MODELS
from projects.cross_correspondence.cross_correspondence.model import CrossCorrespondence
from projects.cross_correspondence.cross_correspondence.view_encoder import ViewEncoder

TRAINING_ONLY = {"pretrained", "checkpoint", "frozen", "type"}
"""Of the image network's arguments those that make no difference to what a trained one says."""


def load_model(config: Config, checkpoint: str | Path | None) -> CrossCorrespondence:
    """Return the networks of a config on the device at hand, in eval mode.

    Args:
        config: Of the training.
        checkpoint: A checkpoint of that training; None leaves the weights that the config's seed gives.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: It does not fit the config, or is of networks with other arguments.
    """
    # no weights but the checkpoint's
    view_encoder = {**config.model.view_encoder, "pretrained": False, "checkpoint": None}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.randomness.seed)
        model = MODELS.build({**config.model, "view_encoder": view_encoder})
    if checkpoint is not None:
        if Path(checkpoint).suffix != ".safetensors":  # which holds weights and says nothing of a config
            saved = read_checkpoint(checkpoint)
            check_backbone(config.model.backbone, saved, checkpoint)
            _check_view_encoder(config.model.view_encoder, saved, checkpoint)
        load_weights(model, read_state_dict(checkpoint), f"{checkpoint} does not fit the config")
    return model.to(get_device()).eval()


def _check_view_encoder(ours: dict[str, Any], saved: dict[str, Any], source: str | Path) -> None:
    """Refuse a checkpoint whose image network was given other arguments, such as another ``size``."""
    model = config_of(saved).get("model")
    theirs = model.get("view_encoder") if isinstance(model, dict) else None
    if not isinstance(theirs, dict):  # the checkpoint does not say
        return
    defaults = {p.name: p.default for p in inspect.signature(ViewEncoder).parameters.values()}
    here, there = ({**defaults, **plain(given)} for given in (ours, theirs))
    faults = [
        f"model.view_encoder.{name}: {there.get(name)} in the checkpoint, {here.get(name)} here"
        for name in sorted((here.keys() | there.keys()) - TRAINING_ONLY)
        if here.get(name) != there.get(name)
    ]
    if faults:
        raise ValueError(f"{source} does not hold the image network of this config: {'; '.join(faults)}")


@torch.inference_mode()
def extract(
    model: CrossCorrespondence,
    data_root: str,
    split: str,
    num_points: int,
    num_views: int,
    batch_size: int = 32,
    num_workers: int = 0,
    seed: int = 0,
) -> tuple[Features, Features]:
    """Return features of the S shapes of a split by a model in eval mode.

    Args:
        model: The trained networks.
        data_root: Folder of the prepared set.
        split: As ``PreparedShapes``.
        num_points: Points of a shape.
        num_views: Views of a shape, drawn without replacement.
        batch_size: Shapes at a time.
        num_workers: Processes that read.
        seed: Of the draw of views.

    Returns:
        Those of the clouds (S, point_channels) and those of the views (S, num_views, I).

    Raises:
        ValueError: The prepared set has fewer views, or points, a shape.
    """
    dataset = PreparedShapes(data_root, split, num_points=num_points, views=num_views)
    loader = report_lost_batches(
        DataLoader(dataset, batch_size, num_workers=num_workers, collate_fn=whole_batch)
    )
    points, views = [], []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for batch in loader:
            features = model(**model.data_preprocessor(batch))
            points.append(features["point_feats"].float().cpu())
            views.append(features["view_feats"].float().cpu())
    return features_of(dataset, torch.cat(points).numpy()), features_of(dataset, torch.cat(views).numpy())


@torch.inference_mode()
def verification(
    model: CrossCorrespondence, points: Features, views: Features, seed: int = 0
) -> dict[str, float]:
    """Measure how well a model in eval mode tells the same object from another.

    Two views are drawn of each shape, and another shape, uniformly from the whole split. The shape's cloud
    is paired with both of its views and with the first view of the other shape.

    Args:
        model: The trained networks.
        points: Of the clouds, (S, point_channels), S at least 2.
        views: Of the views, (S, V, I), V at least 2.
        seed: Of the draws.

    Returns:
        ``verification, same object`` and ``verification, two objects``, the shares of right answers among
        pairs of either kind, in percent; ``verification``, their mean (chance: 50); ``distance, same
        object`` and ``distance, two objects``, the mean Euclidean distances of a shape's first view from its
        second and from the other shape's.

    Raises:
        ValueError: There is no second shape, or no second view.
    """
    size, count = views.values.shape[:2]
    if size < 2 or count < 2:
        raise ValueError(
            f"verification takes two shapes and two views of each; there are {size} shapes of {count} views"
        )
    rng = np.random.default_rng(seed)
    drawn = rng.random((size, count)).argsort(1)[:, :2]
    one, two = np.moveaxis(np.take_along_axis(views.values, drawn[..., None], 1), 1, 0)
    three = one[(np.arange(size) + rng.integers(1, size, size)) % size]

    device = next(model.parameters()).device
    feats = torch.from_numpy(np.stack([one, two, three])).to(device)
    clouds = torch.from_numpy(points.values).to(device).expand(3, -1, -1)
    said_same = model.verify(feats, clouds).argmax(-1).float().mean(1).tolist()
    same, different = 50 * (said_same[0] + said_same[1]), 100 * (1 - said_same[2])
    return {
        "verification": (same + different) / 2,
        "verification, same object": same,
        "verification, two objects": different,
        "distance, same object": float(np.linalg.norm(one - two, axis=-1).mean()),
        "distance, two objects": float(np.linalg.norm(one - three, axis=-1).mean()),
    }
