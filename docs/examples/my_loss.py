"""A distillation loss: one entry of ``model.distill``, ``dict(type="RelationalHead")``."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd.batch import PointFeatures, TeacherRows
from pointmcd.registry import MODELS


@MODELS.register_module()
class RelationalHead(nn.Module):
    """Shapes that are far apart for the teacher are to be far apart for the student.

    Source: the distance-wise loss of relational knowledge distillation (Park et al., CVPR 2019).

    Args:
        loss_weight: Weight of the loss.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:  # in_channels, teacher_channels: filled in if named
        super().__init__()
        self.loss_weight = loss_weight

    def loss(self, features: PointFeatures, teacher: TeacherRows) -> dict[str, Tensor]:
        """Return the Huber distance of ``relative_distances`` of ``global_feats`` and of ``descriptor``."""
        ours, theirs = relative_distances(features["global_feats"]), relative_distances(teacher["descriptor"])
        return {"loss_relations": self.loss_weight * F.smooth_l1_loss(ours, theirs)}


def relative_distances(rows: Tensor) -> Tensor:
    """Return the distances (B (B - 1) / 2,) of rows (B, C) from each other, divided by their mean."""
    distances = F.pdist(rows.float())
    return distances / distances.mean().clamp(min=torch.finfo(distances.dtype).tiny)
