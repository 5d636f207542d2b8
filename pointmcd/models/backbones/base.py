"""What every backbone is."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from pointmcd import ops
from pointmcd.batch import PointFeatures
from pointmcd.models.layers import LinearNormAct


class PointBackbone(nn.Module, ABC):
    """Points in, non-negative features of points out.

    A subclass gives ``encode`` and ``fusion``. The last point-wise layer stands apart so that a model whose
    point features feed pools only can pool through ``fusion.pool``, which never stores them.

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
        """Return what all but the last point-wise layer makes of points.

        Args:
            points: (B, N, in_channels).

        Returns:
            ``hidden`` (B, M, I), the input of ``fusion``; ``point_index`` (B, M) int64, the points that the M
            rows belong to, or None when they are all N in order; ``losses``, the backbone's own weighted
            terms; and whatever else ``local_feats`` reads.
        """

    def encoded(self, points: Tensor) -> PointFeatures:
        """Return what ``encode`` returns, once it is seen to be what it should be.

        Raises:
            ValueError: It is not; the text says what ``encode`` must return.
        """
        features = self.encode(points)
        what = f"{type(self).__name__}.encode returns"
        if not isinstance(features, dict):
            raise ValueError(
                f"{what} a {type(features).__name__}, must be a dict of hidden, point_index and losses"
            )
        if missing := [key for key in ("hidden", "point_index", "losses") if key not in features]:
            raise ValueError(f"{what} no {' and no '.join(missing)} (point_index may be None, losses {{}})")
        index, width = features["point_index"], self.fusion.linear.in_features
        shape = (*(points if index is None else index).shape[:2], width)
        if features["hidden"].shape != shape:
            rows = "a row for each point, as point_index is None" if index is None else "a row for each index"
            raise ValueError(
                f"{what} hidden of shape {tuple(features['hidden'].shape)}, must be {tuple(shape)}: {rows}, "
                f"and last the {width} channels that fusion takes"
            )
        return features

    def forward(self, points: Tensor) -> PointFeatures:
        """Return what ``encode`` returns, and ``point_feats`` (B, M, C), at least 0, of the last layer."""
        features = self.encoded(points)
        features["point_feats"] = self.fusion(features["hidden"])
        return features

    def local_feats(self, features: PointFeatures) -> Tensor:
        """Return what describes each point, for a decoder of all points or a loss on single ones.

        A backbone that keeps fewer points from level to level gives what it has: the features of all levels
        below the points themselves, each interpolated to all points (``ops.interpolate``), side by side.

        Args:
            features: What ``encode`` or the backbone returned, and ``global_feats`` (B, C).

        Returns:
            (B, N, L), in the order of the points.
        """
        levels = features.get("levels", [])
        if len(levels) < 2:
            raise NotImplementedError(f"{type(self).__name__} has no local features")
        return torch.cat([ops.interpolate(levels[0][0], *level) for level in levels[1:]], -1)

    def check(self, points: Tensor) -> None:
        """Refuse what is not (B, N, in_channels)."""
        if points.ndim != 3 or points.shape[-1] != self.in_channels:
            raise ValueError(
                f"{type(self).__name__} takes points of shape (B, N, {self.in_channels}), "
                f"not {tuple(points.shape)}"
            )
