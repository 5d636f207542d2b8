"""Visibility-aware feature projection (PointMCD, section on VAFP)."""

from torch import Tensor, nn

from pointmcd import ops
from pointmcd.models.layers import LinearNormAct
from pointmcd.registry import MODELS


@MODELS.register_module()
class VAFP(nn.Module):
    """One descriptor a view from the points that it sees: ``G[b, v] = max_n(V[b, n, v] * E[b, n])``.

    Hidden points contribute zero, so that features are expected to be non-negative (they end in a ReLU); a
    view that sees no point gives zeros. The maximum over all points is one more view that sees everything,
    and comes from the same pass over the features.

    Args:
        num_views: V, at most 31; filled in from the prepared data where a config leaves it None.
    """

    def __init__(self, num_views: int) -> None:
        super().__init__()
        if not 1 <= num_views <= 31:
            raise ValueError(f"num_views is {num_views}, but a mask of 32 bits holds 1 to 31 views")
        self.num_views = num_views

    def forward(
        self,
        point_feats: Tensor,
        visibility: Tensor,
        point_index: Tensor | None = None,
        with_global: bool = False,
    ) -> Tensor:
        """Pool the features of the points that each view sees.

        Args:
            point_feats: (B, M, C), non-negative.
            visibility: (B, N) int32 bit masks, bit v set where view v sees the point.
            point_index: (B, M) int64 rows of ``visibility`` that the features belong to, or None when M = N.
            with_global: Append the maximum over all points as row V.

        Returns:
            (B, V, C), or (B, V + 1, C) with the global maximum.
        """
        masks = _masks_of(visibility, point_index)
        return ops.visibility_pool(point_feats, masks, self.num_views, with_global=with_global)

    def pool_hidden(
        self, hidden: Tensor, fusion: LinearNormAct, visibility: Tensor, point_index: Tensor | None = None
    ) -> Tensor:
        """Return ``forward(fusion(hidden), ..., with_global=True)`` without ever storing ``fusion(hidden)``.

        For features that feed pools only; several times faster.

        Args:
            hidden: (B, M, I), what ``fusion`` takes.
            fusion: The backbone's last point-wise layer, I -> C, ending in a ReLU.
            visibility: As in ``forward``.
            point_index: As in ``forward``.

        Returns:
            (B, V + 1, C), the global maximum last.
        """
        return fusion.pool(hidden, _masks_of(visibility, point_index), self.num_views)


def _masks_of(visibility: Tensor, point_index: Tensor | None) -> Tensor:
    return visibility if point_index is None else visibility.gather(1, point_index)
