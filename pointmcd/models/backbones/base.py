"""What every backbone is."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from pointmcd.batch import PointFeatures
from pointmcd.models.layers import LinearNormAct


class PointBackbone(nn.Module, ABC):
    """Points in, non-negative features of points out.

    The last point-wise layer stands apart: a model whose point features feed pools only takes ``encode`` and
    pools through ``fusion.pool``, which never stores them; all others call the backbone.

    Args:
        in_channels: Values of a point: x, y, z, then whatever else the network is to see (normals ...).

    Attributes:
        fusion: The last point-wise layer, hidden -> C, ending in a ReLU. Set by the subclass.
        local_channels: L, the width of ``local_feats``; None where the backbone has none.
        local_needs_point_feats: ``local_feats`` reads ``point_feats``, so that these must be stored.
    """

    fusion: LinearNormAct
    local_channels: int | None = None
    local_needs_point_feats = False

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        if in_channels < 3:
            raise ValueError(f"in_channels is {in_channels}, but a point has at least x, y and z")
        self.in_channels = in_channels

    @property
    def out_channels(self) -> int:
        """C, the width of ``point_feats``."""
        return self.fusion.linear.out_features

    @abstractmethod
    def encode(self, points: Tensor) -> PointFeatures:
        """All but the last point-wise layer.

        Args:
            points: (B, N, in_channels).

        Returns:
            ``hidden`` (B, M, I), the input of ``fusion``; ``point_index`` (B, M) int64, the points that the M
            rows belong to, or None when they are all N in order; ``losses``, the backbone's own weighted
            terms; and whatever else ``local_feats`` reads.
        """

    def forward(self, points: Tensor) -> PointFeatures:
        """``encode`` and the last layer: ``point_feats`` (B, M, C), at least 0."""
        features = self.encode(points)
        features["point_feats"] = self.fusion(features["hidden"])
        return features

    def local_feats(self, features: PointFeatures) -> Tensor:
        """Return what a decoder of all points needs of each, beside the pooled feature.

        Args:
            features: What ``encode`` or the backbone returned, and ``global_feats`` (B, C).

        Returns:
            (B, N, L), in the order of the points.
        """
        raise NotImplementedError(f"{type(self).__name__} has no local features")

    def check(self, points: Tensor) -> None:
        """Refuse what is not (B, N, in_channels)."""
        if points.ndim != 3 or points.shape[-1] != self.in_channels:
            raise ValueError(
                f"{type(self).__name__} takes points of shape (B, N, {self.in_channels}), "
                f"not {tuple(points.shape)}"
            )
