"""A neck: ``model.neck.type=MeanOfViews``."""

import torch
from torch import Tensor, nn

from pointmcd.models.layers import LinearNormAct
from pointmcd.registry import MODELS


@MODELS.register_module()
class MeanOfViews(nn.Module):
    """As ``VAFP``, with the mean of the points that a view sees in place of the maximum.

    Args:
        num_views: V; filled in from the prepared data where a config leaves it None.
    """

    def __init__(self, num_views: int) -> None:
        super().__init__()
        self.num_views = num_views

    def forward(
        self,
        point_feats: Tensor,
        visibility: Tensor,
        point_index: Tensor | None = None,
        with_global: bool = False,
    ) -> Tensor:
        """Map features (B, M, C) and masks (B, N) to (B, V, C), and to the maximum over all where asked."""
        if point_index is not None:
            visibility = visibility.gather(1, point_index)
        views = torch.arange(self.num_views, device=visibility.device)
        seen = (visibility.unsqueeze(1) >> views.view(-1, 1) & 1).to(point_feats.dtype)  # (B, V, M)
        pooled = seen @ point_feats / seen.sum(-1, keepdim=True).clamp(min=1)
        return torch.cat([pooled, point_feats.amax(1, keepdim=True)], 1) if with_global else pooled

    def pool_hidden(
        self, hidden: Tensor, fusion: LinearNormAct, visibility: Tensor, point_index: Tensor | None = None
    ) -> Tensor:
        """Do the same from the input of the backbone's last layer; not every neck can do so faster."""
        return self(fusion(hidden), visibility, point_index, with_global=True)
