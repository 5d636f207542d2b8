"""PointNet++ for part segmentation (Qi et al., NeurIPS 2017; arXiv 1706.02413, appendix B)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pointmcd.batch import PointFeatures
from pointmcd.models.backbones.pointnet2 import PointNet2, Scales
from pointmcd.models.layers import FeaturePropagation
from pointmcd.registry import MODELS

SEG_SSG: Scales = (
    ({"radius": 0.2, "k": 64, "channels": (64, 64, 128)},),
    ({"radius": 0.4, "k": 64, "channels": (128, 128, 256)},),
)
"""Single-scale grouping for part segmentation (the release's ``pointnet2_part_seg.py``)."""

SEG_MSG: Scales = (
    (
        {"radius": 0.1, "k": 32, "channels": (32, 32, 64)},
        {"radius": 0.2, "k": 64, "channels": (64, 64, 128)},
        {"radius": 0.4, "k": 128, "channels": (64, 96, 128)},
    ),
    (
        {"radius": 0.4, "k": 64, "channels": (128, 128, 256)},
        {"radius": 0.8, "k": 128, "channels": (128, 196, 256)},
    ),
)
"""Multi-scale grouping for part segmentation (the release's ``pointnet2_part_seg_msg_one_hot.py``)."""


@MODELS.register_module()
class PointNet2Seg(PointNet2):
    """``PointNet2`` and the way back: features are propagated from the whole cloud to all of its points.

    Point features, 128 of 1024 channels with the defaults, feed the global max pool; from there feature
    propagation goes to the points of each level, the coarsest first, and last to the N points, whose own
    features are the input values. Only a head that reads local features trains it: for pre-training without
    one take ``PointNet2``, whose weights have the same names.

    Args:
        in_channels: Values of a point; what follows x, y, z is a feature.
        num_points: As ``PointNet2``.
        scales: As ``PointNet2``; the default is that of the authors' release for parts, with ``k=64`` at its
            first level where the one for classification has 32.
        channels: As ``PointNet2``.
        propagation: Widths of the MLP of each feature propagation, from the coarsest level to the points;
            the last one is L. One more than ``scales`` has levels.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_points: Sequence[int] = (512, 128),
        scales: Scales = SEG_SSG,
        channels: Sequence[int] = (256, 512, 1024),
        propagation: Sequence[Sequence[int]] = ((256, 256), (256, 128), (128, 128, 128)),
    ) -> None:
        super().__init__(in_channels, num_points, scales, channels)
        own = [in_channels, *(sum(scale["channels"][-1] for scale in level) for level in scales)]
        if len(propagation) != len(own):
            raise ValueError(f"propagation has {len(propagation)} levels, but num_points needs {len(own)}")
        self.propagation = nn.ModuleList()
        coarse = self.out_channels
        for width, widths in zip(reversed(own), propagation, strict=True):
            self.propagation.append(FeaturePropagation(width, coarse, widths))
            coarse = widths[-1]
        self.local_channels = coarse

    def local_feats(self, features: PointFeatures) -> Tensor:
        (xyz, rest), *levels = features["levels"]
        levels = [(xyz, torch.cat([xyz, rest], -1)), *levels]
        coarse_xyz, coarse = torch.zeros_like(xyz[:, :1]), features["global_feats"].unsqueeze(1)
        for layer, (xyz, own) in zip(self.propagation, reversed(levels), strict=True):
            coarse_xyz, coarse = xyz, layer(xyz, own, coarse_xyz, coarse)
        return coarse


@MODELS.register_module()
class PointNet2SegMSG(PointNet2Seg):
    """``PointNet2Seg`` with multi-scale grouping.

    Args: As ``PointNet2Seg``.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_points: Sequence[int] = (512, 128),
        scales: Scales = SEG_MSG,
        channels: Sequence[int] = (256, 512, 1024),
        propagation: Sequence[Sequence[int]] = ((256, 256), (256, 128), (128, 128)),
    ) -> None:
        super().__init__(in_channels, num_points, scales, channels, propagation)
