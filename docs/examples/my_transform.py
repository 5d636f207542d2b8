"""A transform: ``model.data_preprocessor.transforms=[dict(type="Mirror", axis=0)]``."""

import torch

from pointmcd.batch import Batch
from pointmcd.registry import TRANSFORMS


@TRANSFORMS.register_module()
class Mirror:
    """Mirror each shape with a probability of one half.

    Args:
        axis: Coordinate whose sign changes.
    """

    def __init__(self, axis: int = 0) -> None:
        self.axis = axis

    def __call__(self, batch: Batch) -> Batch:
        points = batch["points"].clone()
        turned = torch.rand(points.shape[0], device=points.device) < 0.5
        points[turned, :, self.axis] *= -1
        return {**batch, "points": points}
