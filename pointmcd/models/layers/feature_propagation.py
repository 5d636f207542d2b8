"""Feature propagation (Qi et al., PointNet++, section 3.4; NeurIPS 2017)."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd import ops
from pointmcd.models.layers.norm import LinearNormAct, shared_mlp


class FeaturePropagation(nn.Module):
    """A shared MLP on ``[f_i, g_i]``: a point's features, and those of a coarser level interpolated there.

    A linear layer commutes with interpolation: the first one acts on the M coarse points and not on the N
    that they are interpolated to, and the two products are added, never concatenated.

    Args:
        in_channels: C, width of the points' own features.
        coarse_channels: G, width of the coarser level's.
        channels: Widths of the MLP, at least one.
    """

    def __init__(self, in_channels: int, coarse_channels: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.first = LinearNormAct(in_channels + coarse_channels, channels[0])
        self.rest = shared_mlp(*channels)

    def forward(self, xyz: Tensor, feats: Tensor, coarse_xyz: Tensor, coarse_feats: Tensor) -> Tensor:
        """Map xyz (B, N, 3), feats (B, N, C), coarse_xyz (B, M, 3), coarse_feats (B, M, G) to (B, N, O).

        With M = 1, the feature of a whole cloud, every point gets that one.
        """
        own, coarse = self.first.linear.weight.split([feats.shape[-1], coarse_feats.shape[-1]], 1)
        x = ops.interpolate(xyz, coarse_xyz, F.linear(coarse_feats, coarse)) + F.linear(feats, own)
        return self.rest(self.first.norm_act(x))
