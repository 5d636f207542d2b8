"""A detector: a point network, seeds among its points, and the head that votes."""

from typing import Any, cast

import torch
from torch import Tensor

from pointmcd import ops
from pointmcd.batch import PointFeatures
from pointmcd.models import PointModel
from pointmcd.registry import MODELS
from projects.mvnet.mvnet.detection.head import Proposals


@MODELS.register_module()
class VoteNet(PointModel):
    """Local features of a backbone at well spread points, the seeds, and ``VoteHead`` on them.

    Args:
        backbone: Config of a backbone with local features (``PointNet2Seg``, ``SRUNet`` ...).
        head: Config of ``VoteHead``.
        num_seeds: M, by farthest point sampling.
        unit: Metres that the backbone takes for 1: a pre-trained one has learnt on shapes of radius 1.
        data_preprocessor: Config of the preprocessor.
    """

    def __init__(
        self,
        backbone: dict,
        head: dict,
        num_seeds: int = 1024,
        unit: float = 1.0,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(backbone, head, data_preprocessor)
        if not unit > 0:
            raise ValueError(f"unit must be above 0, got {unit}")
        self.num_seeds, self.unit = num_seeds, unit

    def student_features(self, points: Tensor, label: Any = None) -> PointFeatures:
        """Map points (B, N, in_channels), in metres, to the outputs of backbone and head (``Proposals``)."""
        xyz = points[..., :3]
        features = super().student_features(torch.cat([xyz / self.unit, points[..., 3:]], -1))
        local = features["local_feats"]
        seeds = ops.farthest_point_sample(xyz, self.num_seeds).unsqueeze(-1)
        height = xyz[..., 2:] - xyz[..., 2:].quantile(0.01, 1, keepdim=True)  # the floor, as VoteNet takes it
        given = (xyz, local, height)
        at_seeds = (values.gather(1, seeds.expand(-1, -1, values.shape[-1])) for values in given)
        assert self.head is not None
        cast(Proposals, features).update(self.head(*at_seeds))
        return features

    def _decode(self, features: PointFeatures, label: Tensor | None) -> PointFeatures:
        """Add the local features alone: the head needs the points beside."""
        features["local_feats"] = self.backbone.local_feats(features)
        return features
