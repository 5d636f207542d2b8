"""What a view shows of a shape, as three images: its silhouette, its depth, its contours."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

EDGE = 0.05  # of a contour: how far behind a pixel its neighbour lies, in bounding radii


class Images(NamedTuple):
    """What is to be made of each view (..., H, H), or was made of it."""

    silhouette: Tensor  # 1 where there is a surface; made: its logit
    depth: Tensor  # from the plane through the origin towards the camera, in bounding radii; 0 for nothing
    contour: Tensor  # 1 where a surface ends or lies before another by more than EDGE; made: its logit


def images_of(depths: Tensor, distance: float) -> Images:
    """Return the images that depths along the camera's axis hold.

    Args:
        depths: (..., H, H) in bounding radii, inf for nothing.
        distance: Of the cameras from the origin.
    """
    seen = depths.isfinite()
    padded = F.pad(depths, (1, 1, 1, 1), value=float("inf"))
    height, width = depths.shape[-2:]
    around = [
        padded[..., row : row + height, column : column + width]
        for row, column in ((0, 1), (2, 1), (1, 0), (1, 2))
    ]
    # a neighbour without a surface is infinitely far behind
    before = [seen & ((neighbour - depths.where(seen, 0.0)) > EDGE) for neighbour in around]
    contour = before[0] | before[1] | before[2] | before[3]
    depth = (distance - depths).where(seen, 0.0)
    return Images(seen.to(depths.dtype), depth, contour.to(depths.dtype))
