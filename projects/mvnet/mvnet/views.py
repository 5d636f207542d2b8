"""The geometry of rendered views in torch: `pointmcd.geometry.correspondence`, batched.

Here pictures are [0, 1] x [0, 1], so that one matrix of intrinsics serves every resolution: (u, v) is the
pixel coordinate divided by the picture's side. B batch, v views loaded, h w grid.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from pointmcd.geometry import CameraRig
from pointmcd.geometry.correspondence import grid_pixels, rig_intrinsics


class Surface(NamedTuple):
    """What the views of a batch show at the nodes of their grids."""

    points: Tensor  # (B, v, h, w, 3), zeros where a view shows the background
    valid: Tensor  # (B, v, h, w) bool


class Matches(NamedTuple):
    """Where views see each other's grid nodes; the second axis looks, the third is looked into."""

    position: Tensor  # (B, v, v, h, w, 2), u and v in the view looked into
    found: Tensor  # (B, v, v, h, w) bool


def grid_positions(side: int, stride: int) -> Tensor:
    """(h,) u of the grid's columns, or v of its rows, in a picture of ``side`` pixels."""
    return torch.from_numpy((grid_pixels(side, stride) + 0.5) / side).float()


class RigViews(nn.Module):
    """The cameras of a rig.

    Args:
        rig: Of the prepared set.
        stride: Of the feature grid, in pixels.
        eps: Depths of one surface point seen from two views differ by at most so much, in bounding radii.
    """

    intrinsics: Tensor  # (3, 3)
    world_to_camera: Tensor  # (V, 3, 4)

    def __init__(self, rig: CameraRig, stride: int, eps: float) -> None:
        super().__init__()
        self.stride, self.eps = stride, eps
        intrinsics, poses = rig_intrinsics(rig, 1), rig.world_to_camera()
        self.register_buffer("intrinsics", torch.from_numpy(intrinsics).float(), persistent=False)
        self.register_buffer("world_to_camera", torch.from_numpy(poses).float(), persistent=False)

    def unproject(self, depths: Tensor, view_index: Tensor) -> Surface:
        """Return the surface at the grid nodes.

        Args:
            depths: (B, v, H, H), inf for the background.
            view_index: (B, v) int64.
        """
        side = depths.shape[-1]
        nodes = torch.from_numpy(grid_pixels(side, self.stride)).to(depths.device)
        z = depths[:, :, nodes[:, None], nodes]
        valid = z.isfinite() & (z > 0)
        position = (nodes.to(self.intrinsics.dtype) + 0.5) / side
        v, u = torch.meshgrid(position, position, indexing="ij")
        rays = torch.stack([u, v, torch.ones_like(u)], -1) @ self.intrinsics.inverse().T
        camera = rays * z.where(valid, z.new_zeros(()))[..., None]
        rotation, shift = self._poses(view_index)
        points = torch.einsum("bvji,bvhwj->bvhwi", rotation, camera - shift[:, :, None, None])
        return Surface(points * valid[..., None], valid)

    def match(self, surface: Surface, depths: Tensor, view_index: Tensor) -> Matches:
        """Every node of each view in all views: found where it falls into the picture and the depth there is
        that of the node, to within ``eps``.
        """
        batch, views, side = *depths.shape[:2], depths.shape[-1]
        rotation, shift = self._poses(view_index)
        camera = torch.einsum("bvij,buhwj->buvhwi", rotation, surface.points) + shift[:, None, :, None, None]
        z = camera[..., 2]
        in_front = z > 0
        image = camera @ self.intrinsics.T
        position = image[..., :2] / z.where(in_front, z.new_ones(()))[..., None]
        inside = in_front & ((position >= 0) & (position < 1)).all(-1)
        column, row = (position * side).clamp(0, side - 1).long().unbind(-1)
        index = (row * side + column).transpose(1, 2).reshape(batch, views, -1)
        measured = depths.flatten(2).gather(2, index).view(batch, views, *z.shape[1:2], *z.shape[3:])
        near = (measured.transpose(1, 2) - z).abs() <= self.eps
        return Matches(position, near & inside & surface.valid.unsqueeze(2))

    def _poses(self, view_index: Tensor) -> tuple[Tensor, Tensor]:
        poses = self.world_to_camera[view_index]
        return poses[..., :3], poses[..., 3]


def overlap(found: Tensor, valid: Tensor) -> Tensor:
    """(B, v, v): of the nodes that the first view shows, the share that the second sees."""
    return found.sum((-2, -1)) / valid.sum((-2, -1)).clamp(min=1).unsqueeze(2)
