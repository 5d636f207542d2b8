"""PointNet (Qi et al., CVPR 2017; arXiv 1612.00593)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pointmcd.batch import PointFeatures
from pointmcd.models.backbones.base import PointBackbone
from pointmcd.models.layers import LinearNormAct, shared_mlp
from pointmcd.registry import MODELS

TNETS: dict[str, tuple[Sequence[int], Sequence[int]]] = {
    "official": ((64, 64, 256), (64, 64)),
    "original": ((64, 128, 1024), (512, 256)),
}
"""Point-wise and fully connected widths of a T-Net: PointMCD's official release, and the PointNet paper."""


class TNet(nn.Module):
    """A square matrix for each cloud, the identity plus what the points ask for (appendix C of the paper).

    Args:
        channels: Side of the matrix and width of the input.
        point_channels: Widths of the point-wise layers before the max pool.
        dense_channels: Widths of the fully connected layers after it.
    """

    def __init__(self, channels: int, point_channels: Sequence[int], dense_channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = channels
        *hidden, last = point_channels
        self.point_layers = shared_mlp(channels, *hidden)
        self.fusion = LinearNormAct(hidden[-1], last)
        self.dense_layers = shared_mlp(last, *dense_channels)
        self.matrix = nn.Linear(dense_channels[-1], channels * channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, C) to (B, C, C)."""
        pooled = self.fusion.pool(self.point_layers(x)).squeeze(1)
        offset = self.matrix(self.dense_layers(pooled)).unflatten(-1, (self.channels, self.channels))
        return offset + torch.eye(self.channels, dtype=x.dtype, device=x.device)


@MODELS.register_module()
class PointNet(PointBackbone):
    """Shared MLP on points that a first T-Net (3 x 3) and a second one (64 x 64, on features) have aligned.

    Its point features are also its local features: a decoder reads all C of them.

    Args:
        in_channels: Values of a point; only x, y, z are transformed by the first T-Net.
        tnet: ``official``, the thin T-Nets of PointMCD's release, or ``original``, those of the paper.
        tnet_reg_weight: Weight of ``loss_tnet``, the mean of ``||T T^t - I||_F`` over the clouds' 64 x 64
            matrices; 0 leaves the term out.
        out_channels: C.
    """

    local_needs_point_feats = True

    def __init__(
        self,
        in_channels: int = 3,
        tnet: str = "official",
        tnet_reg_weight: float = 0.001,
        out_channels: int = 1024,
    ) -> None:
        super().__init__(in_channels)
        if tnet not in TNETS:
            raise ValueError(f"tnet is {tnet!r}; choose {' or '.join(TNETS)}")
        self.tnet_reg_weight = tnet_reg_weight
        self.point_tnet = TNet(3, *TNETS[tnet])
        self.layer1 = LinearNormAct(in_channels, 64)
        self.feature_tnet = TNet(64, *TNETS[tnet])
        self.layer2 = LinearNormAct(64, 128)
        self.fusion = LinearNormAct(128, out_channels)
        self.local_channels = out_channels

    def encode(self, points: Tensor) -> PointFeatures:
        self.check(points)
        xyz, rest = points[..., :3], points[..., 3:]
        aligned = xyz @ self.point_tnet(xyz)
        x = self.layer1(torch.cat([aligned, rest], -1))
        matrix = self.feature_tnet(x)
        losses: dict[str, Tensor] = {}
        if self.tnet_reg_weight:
            losses["loss_tnet"] = self.tnet_reg_weight * orthogonality(matrix)
        return {"hidden": self.layer2(x @ matrix), "point_index": None, "losses": losses}

    def local_feats(self, features: PointFeatures) -> Tensor:
        return features["point_feats"]


def orthogonality(matrix: Tensor) -> Tensor:
    """Return the mean Frobenius norm of ``T T^t - I``, not squared (official), over matrices (B, C, C)."""
    eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    return torch.linalg.matrix_norm(matrix @ matrix.mT - eye).mean()
