"""Batched augmentations, run on the training device.

A transform takes a batch and returns one; it may change ``points`` (B, N, 3), or drop or reorder points
together with every other per-point array. Visibility was computed on the untouched shape and is never
recomputed (the official training does the same), so a transform that moves points leaves the masks alone.
Random numbers come from torch's global generator, which ``SeedHook`` seeds by iteration.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from pointmcd.batch import Batch
from pointmcd.registry import TRANSFORMS

PerPoint = Literal["points", "normals", "colors", "visibility", "parts"]
PER_POINT: tuple[PerPoint, ...] = get_args(PerPoint)
OfPoints = Literal["point_descriptors", "point_logits"]
OF_POINTS: tuple[OfPoints, ...] = get_args(OfPoints)  # of what a teacher says


def _uniform(points: Tensor, low: float, high: float, width: int = 3) -> Tensor:
    """Return (B, 1, width) draws, one a shape."""
    return torch.empty(len(points), 1, width, device=points.device, dtype=points.dtype).uniform_(low, high)


def scaled(batch: Batch, factors: Tensor) -> Batch:
    """Return the batch, points times ``factors`` (B, 1, 1 or 3) above 0, and normals of that surface."""
    result: Batch = {**batch, "points": batch["points"] * factors}
    if "normals" in batch:
        result["normals"] = torch.nn.functional.normalize(batch["normals"] / factors, dim=-1)
    return result


@TRANSFORMS.register_module()
class RandomScale:
    """Scale each shape by a random factor, one an axis or one for all three (official: [2/3, 3/2] an axis).

    Normals stay at right angles to the scaled surface, and of length 1.

    Args:
        low: Smallest factor, above 0.
        high: Largest factor.
        anisotropic: Draw one factor an axis.
    """

    def __init__(self, low: float = 2 / 3, high: float = 3 / 2, anisotropic: bool = True) -> None:
        if not 0 < low <= high:
            raise ValueError(f"RandomScale: needs 0 < low <= high, not {low} and {high}")
        self.low, self.high, self.width = low, high, 3 if anisotropic else 1

    def __call__(self, batch: Batch) -> Batch:
        return scaled(batch, _uniform(batch["points"], self.low, self.high, self.width))


@TRANSFORMS.register_module()
class RandomShift:
    """Move each shape by a random vector (official: up to 0.2 an axis, in units of the unit sphere).

    Args:
        shift: Largest move along an axis.
    """

    def __init__(self, shift: float = 0.2) -> None:
        self.shift = shift

    def __call__(self, batch: Batch) -> Batch:
        points = batch["points"]
        return {**batch, "points": points + _uniform(points, -self.shift, self.shift)}


@TRANSFORMS.register_module()
class RandomRotate:
    """Turn each shape about the up (z) axis by a random angle.

    Args:
        max_deg: Largest angle to either side, in degrees.
    """

    def __init__(self, max_deg: float = 180.0) -> None:
        self.max_rad = torch.pi * max_deg / 180

    def __call__(self, batch: Batch) -> Batch:
        points = batch["points"]
        angle = _uniform(points, -self.max_rad, self.max_rad, 1)[:, 0, 0]
        cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
        return _turned(batch, torch.stack([cos, sin, zero, -sin, cos, zero, zero, zero, one], -1))


@TRANSFORMS.register_module()
class RandomRotateSO3:
    """Turn each shape by any rotation, drawn uniformly from SO(3)."""

    def __call__(self, batch: Batch) -> Batch:
        points = batch["points"]
        quaternion = torch.randn(len(points), 4, device=points.device, dtype=points.dtype)
        w, x, y, z = (quaternion / quaternion.norm(dim=1, keepdim=True)).unbind(1)
        rows = [
            1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
            2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
            2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
        ]  # fmt: skip
        return _turned(batch, torch.stack(rows, -1))


def _turned(batch: Batch, rotation: Tensor) -> Batch:
    """Return points and normals times matrices (B, 9), row by row, one a shape."""
    turned = batch.copy()
    for key in ("points", "normals"):
        if key in batch:
            turned[key] = batch[key] @ rotation.view(-1, 3, 3)
    return turned


@TRANSFORMS.register_module()
class RandomJitter:
    """Move each point by clipped Gaussian noise.

    Args:
        sigma: Standard deviation, in units of the unit sphere.
        clip: Largest move along an axis.
    """

    def __init__(self, sigma: float = 0.01, clip: float = 0.02) -> None:
        self.sigma, self.clip = sigma, clip

    def __call__(self, batch: Batch) -> Batch:
        points = batch["points"]
        noise = (torch.randn_like(points) * self.sigma).clamp(-self.clip, self.clip)
        return {**batch, "points": points + noise}


@TRANSFORMS.register_module()
class RandomSubset:
    """Keep a random subset of each shape's points, with all that belongs to them.

    Give the dataset more points than the network takes, and every epoch sees others.

    Args:
        num_points: How many to keep, at most N.
    """

    def __init__(self, num_points: int) -> None:
        self.num_points = num_points

    def __call__(self, batch: Batch) -> Batch:
        size, count = batch["points"].shape[:2]
        if count < self.num_points:
            raise ValueError(f"RandomSubset: num_points is {self.num_points}, but a shape has {count} points")
        order = torch.rand(size, count, device=batch["points"].device).argsort(1)[:, : self.num_points]
        rows = torch.arange(size, device=order.device).unsqueeze(1)
        kept = batch.copy()
        for key in PER_POINT:
            if key in batch:
                kept[key] = batch[key][rows, order]
        if "teacher" in batch:
            said = batch["teacher"].copy()
            for name in OF_POINTS:
                if name in said:
                    said[name] = said[name][rows, order]
            kept["teacher"] = said
        return kept


@TRANSFORMS.register_module()
class RandomFlipViews:
    """Mirror all views of a shape left to right, or none of them, with their label images and depths: an
    augmentation for training an image teacher.

    Args:
        probability: In [0, 1].
    """

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = probability

    def __call__(self, batch: Batch) -> Batch:
        views = batch["views"]
        flip = torch.rand(len(views), 1, 1, 1, device=views.device) < self.probability
        flipped: Batch = {**batch, "views": torch.where(flip.unsqueeze(-1), views.flip(-1), views)}
        for name in ("part_views", "depths"):
            if name in batch:
                flipped[name] = torch.where(flip, batch[name].flip(-1), batch[name])
        return flipped
