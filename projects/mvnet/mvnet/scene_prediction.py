"""What a segmentation network says of every point of a scene: the protocols of ScanNet and of S3DIS."""

from collections.abc import Iterator

import numpy as np
import torch
from scipy.spatial import cKDTree

from pointmcd.batch import Batch
from pointmcd.models import PointModel
from projects.mvnet.mvnet.scenes import Crop, SceneCloud, crops

NEAREST = 3
"""Points whose scores a vertex is given, each weighted by one over its distance."""


def point_scores(
    model: PointModel,
    thin: SceneCloud,
    whole: np.ndarray,
    num_points: int,
    radius: float,
    name: str,
    batch_size: int = 8,
) -> np.ndarray:
    """Ask a network about crops that cover a scene, and carry what it says to all points.

    A point of several crops gets the mean of their scores; a point of the whole scene that of the nearest
    three points that the network saw.

    Args:
        model: With a head of segmentation, in evaluation mode.
        thin: What crops are cut from.
        whole: (V, 3) the points or vertices that a benchmark counts, in metres.
        num_points: Of a crop, as in training.
        radius: Of a crop, in metres, as in training.
        name: Of the scene; seeds the crops.
        batch_size: Crops asked about at a time.

    Returns:
        (V, P) float32, the probability of each class.
    """
    total, times = None, np.zeros(len(thin.points))
    for group in _groups(crops(thin, num_points, radius, name), batch_size):
        scores = _ask(model, thin, group)
        if total is None:
            total = np.zeros((len(thin.points), scores.shape[-1]))
        for crop, of_crop in zip(group, scores, strict=True):
            np.add.at(total, crop.rows, of_crop)
            np.add.at(times, crop.rows, 1)
    assert total is not None  # a scene has a point, and so a crop
    seen = np.flatnonzero(times)
    mean = total[seen] / times[seen, None]
    count = min(NEAREST, len(seen))
    away, near = cKDTree(thin.points[seen]).query(whole, k=range(1, count + 1))
    weight = 1 / np.maximum(away, 1e-6)
    weight /= weight.sum(axis=1, keepdims=True)
    return np.einsum("vk,vkp->vp", weight, mean[near]).astype(np.float32)


@torch.no_grad()
def _ask(model: PointModel, thin: SceneCloud, group: list[Crop]) -> np.ndarray:
    """Return the probabilities (G, N, P) of the points of crops."""
    device = next(model.parameters()).device
    batch: Batch = {"points": torch.from_numpy(np.stack([crop.points for crop in group])).to(device)}
    if thin.colors is not None:
        colors = np.stack([thin.colors[crop.rows] for crop in group])
        batch["colors"] = torch.from_numpy(colors).to(device).float() / 255
    batch["label"] = torch.zeros(len(group), dtype=torch.long, device=device)
    found = model(mode="predict", **batch)
    return torch.stack([row["part_scores"] for row in found]).cpu().numpy()


def _groups(pieces: Iterator[Crop], size: int) -> Iterator[list[Crop]]:
    group: list[Crop] = []
    for piece in pieces:
        group.append(piece)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def mean_iou(confusion: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the mean over classes in percent, and the IoU of each class (P,), NaN for one that is nowhere.

    Args:
        confusion: (P, P) counts; row the true class, column the predicted one.
    """
    hits = np.diag(confusion).astype(np.float64)
    union = confusion.sum(0) + confusion.sum(1) - hits
    iou = np.divide(hits, union, out=np.full(len(hits), np.nan), where=union > 0)
    return 100 * float(np.nanmean(iou)), iou
