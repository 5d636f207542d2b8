"""A backbone: ``model.backbone.type=PointMLP``."""

from collections.abc import Sequence

from torch import Tensor

from pointmcd.batch import PointFeatures
from pointmcd.models.backbones import PointBackbone
from pointmcd.models.layers import LinearNormAct, shared_mlp
from pointmcd.registry import MODELS


@MODELS.register_module()
class PointMLP(PointBackbone):
    """One MLP that all points share.

    Args:
        in_channels: Values of a point.
        channels: Widths of the hidden layers.
        out_channels: C, width of the point features.
    """

    def __init__(
        self, in_channels: int = 3, channels: Sequence[int] = (32, 64), out_channels: int = 128
    ) -> None:
        super().__init__(in_channels)
        self.layers = shared_mlp(in_channels, *channels)
        self.fusion = LinearNormAct(channels[-1], out_channels)  # every backbone ends in one

    def encode(self, points: Tensor) -> PointFeatures:
        """Map points (B, N, in_channels) to ``hidden`` (B, N, channels[-1]), the input of ``fusion``."""
        self.check(points)
        return {"hidden": self.layers(points), "point_index": None, "losses": {}}
