"""What the trained networks say of a split, and whether they tell the same object from another."""

from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from torch.utils.data import DataLoader

from pointmcd.datasets.shapes import PreparedShapes, whole_batch
from projects.cross_correspondence.cross_correspondence.model import CrossCorrespondence


class SplitFeatures(NamedTuple):
    """Features of the S shapes of a split, in its order."""

    points: np.ndarray  # (S, point_channels) float32
    views: np.ndarray  # (S, v, I) float32, of views drawn for each shape
    labels: np.ndarray  # (S,) int64
    names: list[str]


def points_seen(config: Config) -> int:
    """How many points the network was trained on."""
    for transform in config.model.data_preprocessor.transforms:
        if transform["type"] == "RandomSubset":
            return transform["num_points"]
    return config.train_dataloader.dataset.num_points


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
) -> SplitFeatures:
    """Features of a split by a model in eval mode, of as many views of each shape as asked for.

    Which views these are is drawn for each shape, in random order, so that the first n of them are
    themselves a draw of n.

    Raises:
        ValueError: The prepared set has fewer views, or points, a shape.
    """
    dataset = PreparedShapes(data_root, split, num_points=num_points, views=num_views)
    loader = DataLoader(dataset, batch_size, num_workers=num_workers, collate_fn=whole_batch)
    points, views, labels = [], [], []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # the dataset draws views, and gives them in ascending order
        for batch in loader:
            order = torch.rand(batch["views"].shape[:2]).argsort(1).unsqueeze(-1)
            labels.append(batch["label"])
            features = model(**model.data_preprocessor(batch))
            points.append(features["point_feats"].float().cpu())
            views.append(features["view_feats"].float().cpu().take_along_dim(order, 1))
    names = dataset.prepared.split(split).names
    return SplitFeatures(*(torch.cat(rows).numpy() for rows in (points, views, labels)), names)


@torch.inference_mode()
def verification(model: CrossCorrespondence, features: SplitFeatures, seed: int = 0) -> dict[str, float]:
    """How well a model in eval mode tells the same object from another.

    Each shape's cloud is paired with its own first two views, and with the first view of another shape,
    drawn uniformly from the whole split.

    Returns:
        ``same_accuracy`` and ``other_accuracy``, the share of right answers among pairs of the same object
        and of two, in percent; ``verification_accuracy``, their mean (chance: 50); ``positive_distance``
        and ``negative_distance``, mean Euclidean distances of the first view from the second and from the
        other shape's.
    """
    size = len(features.points)
    rng = np.random.default_rng(seed)
    other = (np.arange(size) + rng.integers(1, size, size)) % size
    one, two = features.views[:, 0], features.views[:, 1]
    three = one[other]
    device = next(model.parameters()).device
    feats = torch.from_numpy(np.stack([one, two, three])).to(device)
    clouds = torch.from_numpy(features.points).to(device).expand(3, -1, -1)
    said_same = model.verify(feats, clouds).argmax(-1).float().mean(1).tolist()
    same, different = 50 * (said_same[0] + said_same[1]), 100 * (1 - said_same[2])
    return {
        "verification_accuracy": (same + different) / 2,
        "same_accuracy": same,
        "other_accuracy": different,
        "positive_distance": float(np.linalg.norm(one - two, axis=-1).mean()),
        "negative_distance": float(np.linalg.norm(one - three, axis=-1).mean()),
    }
