"""A sparse residual U-Net on voxels.

It has the shape of SR-UNet (Res16UNet34C; Choy et al., 2019; PointContrast, Xie et al., 2020).
"""

from collections.abc import Sequence
from itertools import product
from typing import Any, cast

import torch
from torch import Tensor, nn

from pointmcd.batch import PointFeatures
from pointmcd.models.backbones.base import PointBackbone
from pointmcd.models.layers import BatchNorm, LinearNormAct
from pointmcd.registry import MODELS
from projects.mvnet.mvnet.sparse import (
    BACKENDS,
    Level,
    SparseConv,
    find,
    pyramid,
    shift,
    transposed,
    voxel_keys,
)


class ResidualBlock(nn.Module):
    """Two submanifold convolutions of kernel 3 beside a shortcut, on (M, C) voxel features.

    Args:
        in_channels: Where it differs from ``out_channels`` the shortcut is a linear layer with batch norm.
        out_channels: Width of both convolutions.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first, self.first_norm = SparseConv(in_channels, out_channels, 27), BatchNorm(out_channels)
        self.second, self.second_norm = SparseConv(out_channels, out_channels, 27), BatchNorm(out_channels)
        self.shortcut = None
        if in_channels != out_channels:
            self.shortcut = LinearNormAct(in_channels, out_channels, negative_slope=1)

    def forward(self, x: Tensor, level: Level) -> Tensor:
        """Map (M, in) to (M, out)."""
        y = self.first_norm(self.first(x, level.neighbors, len(x)), 0)
        y = self.second_norm(self.second(y, level.neighbors, len(x)))
        return (y + (x if self.shortcut is None else self.shortcut(x))).relu()


class Stage(nn.Module):
    """A convolution that changes the resolution, then residual blocks.

    Args:
        in_channels: Of the input.
        conv_channels: Of the strided or transposed convolution.
        skip_channels: Of what is concatenated after it.
        out_channels: Of the blocks.
        blocks: Their number.
    """

    def __init__(
        self, in_channels: int, conv_channels: int, skip_channels: int, out_channels: int, blocks: int
    ) -> None:
        super().__init__()
        self.conv, self.norm = SparseConv(in_channels, conv_channels, 8), BatchNorm(conv_channels)
        widths = [conv_channels + skip_channels] + [out_channels] * (blocks - 1)
        self.blocks = nn.ModuleList(ResidualBlock(width, out_channels) for width in widths)

    def down(self, x: Tensor, fine: Level, coarse: Level) -> Tensor:
        """Go from a level to the next coarser one."""
        return self._refine(self.conv(x, fine.down, len(coarse.keys)), None, coarse)

    def up(self, x: Tensor, skip: Tensor, fine: Level) -> Tensor:
        """Go from a level to the next finer one, where the encoder's features ``skip`` join."""
        assert fine.down is not None, "the coarsest level is never the finer one"
        return self._refine(self.conv(x, transposed(fine.down), len(fine.keys)), skip, fine)

    def _refine(self, x: Tensor, skip: Tensor | None, level: Level) -> Tensor:
        x = self.norm(x, 0)
        if skip is not None:
            x = torch.cat([x, skip], -1)
        for block in self.blocks:
            x = block(x, level)
        return x


class VoxelFeatures(PointFeatures, total=False):
    """What the backbone makes of points, and the voxels that its decoder starts from."""

    voxels: dict[str, Any]  # ``levels``, ``feats`` (M, c) of each, and ``place`` (B, N, 3) in voxel sides


@MODELS.register_module()
class SRUNet(PointBackbone):
    """Points -> voxels -> sparse residual U-Net -> points.

    The defaults have the widths and depths of Res16UNet34C with a first kernel of 3. A voxel's input is
    the mean over its points of: 1, where the point lies in the voxel (in voxel sides, from its centre),
    and what follows x, y, z in a point, such as its colour (inferred). The encoder's coarsest level, at
    the points' voxels, is what is fused and pooled; the decoder's finest is the local feature.

    Args:
        in_channels: Values of a point.
        voxel_size: Side of the finest voxels, in bounding radii (inferred).
        stem_channels: Width of the first convolution.
        channels: Widths of the encoder's stages, each of which halves the resolution.
        blocks: Residual blocks of each.
        decoder_channels: Widths of the decoder's stages, as many, or None: no decoder is built, and the
            backbone has no local features, as classification needs.
        decoder_blocks: Residual blocks of each.
        interpolation: How points read the decoder's voxels: ``nearest``, the voxel they lie in, or
            ``trilinear``, over those of the eight around them that are occupied.
        out_channels: C, width of the fused features.
        backend: ``torch``, or ``spconv`` where that library is installed.

    Raises:
        ValueError: Lists of different lengths, or an unknown interpolation or backend.
    """

    def __init__(
        self,
        in_channels: int = 3,
        voxel_size: float = 0.05,
        stem_channels: int = 32,
        channels: Sequence[int] = (32, 64, 128, 256),
        blocks: Sequence[int] = (2, 3, 4, 6),
        decoder_channels: Sequence[int] | None = (256, 128, 96, 96),
        decoder_blocks: Sequence[int] = (2, 2, 2, 2),
        interpolation: str = "trilinear",
        out_channels: int = 1024,
        backend: str = "torch",
    ) -> None:
        super().__init__(in_channels)
        if len(blocks) != len(channels):
            raise ValueError(f"channels has {len(channels)} stages, blocks has {len(blocks)}")
        if decoder_channels is not None and {len(decoder_channels), len(decoder_blocks)} != {len(channels)}:
            raise ValueError(
                f"the decoder needs {len(channels)} stages, as the encoder; decoder_channels has "
                f"{len(decoder_channels)}, decoder_blocks {len(decoder_blocks)}"
            )
        if interpolation not in ("nearest", "trilinear"):
            raise ValueError(f"interpolation is {interpolation!r}; choose nearest or trilinear")
        if backend not in BACKENDS:
            raise ValueError(f"backend is {backend!r}; choose {' or '.join(BACKENDS)}")
        if not voxel_size > 0:
            raise ValueError(f"voxel_size must be above 0, got {voxel_size}")
        self.voxel_size, self.interpolation = voxel_size, interpolation
        self.stem, self.stem_norm = SparseConv(1 + in_channels, stem_channels, 27), BatchNorm(stem_channels)
        self.encoder = nn.ModuleList()
        widths = [stem_channels, *channels]
        for width, out, count in zip(widths[:-1], channels, blocks, strict=True):
            self.encoder.append(Stage(width, width, 0, out, count))
        self.fusion = LinearNormAct(widths[-1], out_channels)
        self.decoder = None
        if decoder_channels is not None:
            self.decoder, width = nn.ModuleList(), widths[-1]
            for skip, out, count in zip(widths[-2::-1], decoder_channels, decoder_blocks, strict=True):
                self.decoder.append(Stage(width, out, skip, out, count))
                width = out
            self.local_channels = width
        for module in self.modules():
            if isinstance(module, SparseConv):
                module.backend = backend

    def encode(self, points: Tensor) -> VoxelFeatures:
        """Do as ``PointBackbone.encode``; ``voxels`` is what ``local_feats`` needs."""
        self.check(points)
        # Positions decide which voxels there are, in float32 whatever the features are in.
        place = points[..., :3].detach().float() / self.voxel_size
        cells = place.floor()
        keys, voxel = torch.unique(voxel_keys(cells), return_inverse=True)
        levels = pyramid(keys, len(self.encoder) + 1)
        inside = (place - cells - 0.5).to(points.dtype)
        given = torch.cat([torch.ones_like(inside[..., :1]), inside, points[..., 3:]], -1)
        x = _mean_of_points(given.flatten(0, 1), voxel.flatten(), len(keys))
        feats = [self.stem_norm(self.stem(x, levels[0].neighbors, len(x)), 0)]
        for stage, fine, coarse in zip(self.encoder, levels[:-1], levels[1:], strict=True):
            assert isinstance(stage, Stage)
            feats.append(stage.down(feats[-1], fine, coarse))
            assert fine.parent is not None, "only the coarsest level has no coarser one"
            voxel = fine.parent[voxel]
        voxels = {"levels": levels, "feats": feats, "place": place}
        return {"hidden": feats[-1][voxel], "point_index": None, "losses": {}, "voxels": voxels}

    def local_feats(self, features: PointFeatures) -> Tensor:
        if self.decoder is None:
            raise ValueError("this SRUNet has no decoder; give it decoder_channels for features of points")
        voxels = cast(VoxelFeatures, features)["voxels"]
        levels, feats = voxels["levels"], voxels["feats"]
        x = feats[-1]
        for stage, skip, fine in zip(self.decoder, feats[-2::-1], levels[-2::-1], strict=True):
            assert isinstance(stage, Stage)
            x = stage.up(x, skip, fine)
        return read_voxels(x, levels[0].keys, voxels["place"], self.interpolation)


def read_voxels(feats: Tensor, keys: Tensor, place: Tensor, interpolation: str) -> Tensor:
    """Read voxel features at points.

    Args:
        feats: (M, C).
        keys: (M,) of the voxels; that of each point is among them.
        place: (B, N, 3) positions in voxel sides.
        interpolation: ``nearest`` or ``trilinear``.

    Returns:
        (B, N, C).
    """
    if interpolation == "nearest":
        return feats[find(keys, voxel_keys(place.floor()))[0]]
    low = (place - 0.5).floor()
    share = place - 0.5 - low
    corner = voxel_keys(low)
    total = place.new_zeros(*place.shape[:-1], 1, dtype=feats.dtype)
    mixed = total.expand(*place.shape[:-1], feats.shape[-1])
    for offset in product((0, 1), repeat=3):
        row, there = find(keys, corner + shift(offset))
        near = torch.stack([share[..., i] if one else 1 - share[..., i] for i, one in enumerate(offset)], -1)
        weight = (near.prod(-1) * there).to(feats.dtype).unsqueeze(-1)
        total, mixed = total + weight, mixed + weight * feats[row]
    return mixed / total  # at least an eighth: the point's own voxel is among the eight


def _mean_of_points(rows: Tensor, voxel: Tensor, count: int) -> Tensor:
    """Mean (count, C) of the rows (R, C) in each voxel."""
    sums = rows.new_zeros(count, rows.shape[1]).index_add_(0, voxel, rows)
    return sums / torch.bincount(voxel, minlength=count).unsqueeze(1)
