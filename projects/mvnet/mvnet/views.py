"""The geometry of views in torch: `pointmcd.geometry.correspondence`, batched.

Here pictures are [0, 1] x [0, 1], so that one matrix of intrinsics serves every resolution: (u, v) is the
pixel coordinate divided by the picture's side. B batch, v views loaded, h w grid.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from pointmcd.batch import Batch
from pointmcd.geometry import CameraRig
from pointmcd.geometry.correspondence import grid_pixels, rig_intrinsics
from projects.mvnet.mvnet.posed_shapes import PosedBatch


class Surface(NamedTuple):
    """What the views of a batch show at the nodes of their grids."""

    points: Tensor  # (B, v, h, w, 3), zeros where a view shows the background
    valid: Tensor  # (B, v, h, w) bool


class Matches(NamedTuple):
    """Where views see each other's grid nodes; the second axis looks, the third is looked into."""

    position: Tensor  # (B, v, v, h, w, 2), u and v in the view looked into
    found: Tensor  # (B, v, v, h, w) bool


def grid_positions(side: int, stride: int) -> Tensor:
    """Return u of the grid's columns, or v of its rows, (h,), in a picture of ``side`` pixels."""
    return torch.from_numpy((grid_pixels(side, stride) + 0.5) / side).float()


class PosedViews(nn.Module):
    """The geometry of views whose cameras are known.

    A camera is a matrix (3, 4) that takes x, y, z, 1 to u z, v z, z.

    Args:
        rig: The cameras of a prepared set whose shapes all have the same, or None where batches bring their
            own.
        stride: Of the feature grid, in pixels.
        eps: Depths of one surface point seen from two views differ by at most so much, in bounding radii.
    """

    rig: Tensor | None  # (V, 3, 4)

    def __init__(self, rig: CameraRig | None, stride: int, eps: float) -> None:
        super().__init__()
        self.stride, self.eps = stride, eps
        cameras = None
        if rig is not None:
            cameras = torch.from_numpy(rig_intrinsics(rig, 1) @ rig.world_to_camera()).float()
        self.register_buffer("rig", cameras, persistent=False)

    def cameras(self, batch: Batch) -> Tensor:
        """Return the cameras (B, v, 3, 4) of the views of a batch.

        Raises:
            ValueError: Each shape has its own, and the batch brings none.
        """
        if self.rig is not None:
            return self.rig[batch["view_index"]]
        if "cameras" not in batch:
            raise ValueError(
                "the batch has no cameras, and the set has no rig: the dataset must be PosedShapes or "
                "ShapesWithMaps, and must load views"
            )
        return cast(PosedBatch, batch)["cameras"]

    def unproject(self, depths: Tensor, cameras: Tensor) -> Surface:
        """Return the surface at the grid nodes.

        Args:
            depths: (B, v, H, H), inf for the background.
            cameras: (B, v, 3, 4).
        """
        side = depths.shape[-1]
        nodes = torch.from_numpy(grid_pixels(side, self.stride)).to(depths.device)
        z = depths[:, :, nodes[:, None], nodes]
        valid = z.isfinite() & (z > 0)
        position = (nodes.to(cameras.dtype) + 0.5) / side
        v, u = torch.meshgrid(position, position, indexing="ij")
        image = torch.stack([u, v, torch.ones_like(u)], -1) * z.where(valid, z.new_zeros(()))[..., None]
        back = torch.linalg.inv(cameras[..., :3])
        points = torch.einsum("bvij,bvhwj->bvhwi", back, image - cameras[..., None, None, :, 3])
        return Surface(points * valid[..., None], valid)

    def match(self, surface: Surface, depths: Tensor, cameras: Tensor) -> Matches:
        """Match every node of each view in all views.

        It is found where it falls into the picture and the depth there is the node's, to within ``eps``.
        """
        batch, views, side = *depths.shape[:2], depths.shape[-1]
        image = torch.einsum("bvij,buhwj->buvhwi", cameras[..., :3], surface.points)
        image = image + cameras[:, None, :, None, None, :, 3]
        z = image[..., 2]
        in_front = z > 0
        position = image[..., :2] / z.where(in_front, z.new_ones(()))[..., None]
        inside = in_front & ((position >= 0) & (position < 1)).all(-1)
        column, row = (position * side).clamp(0, side - 1).long().unbind(-1)
        index = (row * side + column).transpose(1, 2).reshape(batch, views, -1)
        measured = depths.flatten(2).gather(2, index).view(batch, views, *z.shape[1:2], *z.shape[3:])
        near = (measured.transpose(1, 2) - z).abs() <= self.eps
        return Matches(position, near & inside & surface.valid.unsqueeze(2))


def overlap(found: Tensor, valid: Tensor) -> Tensor:
    """Return the share (B, v, v) of the nodes of the first view that the second sees."""
    return found.sum((-2, -1)) / valid.sum((-2, -1)).clamp(min=1).unsqueeze(2)
