"""Sparse convolution on voxels in plain torch: gather by kernel offset, multiply, scatter.

A batch of voxels is a sorted list of int64 keys, each holding a cloud's number and three coordinates of 16
bits, so that the neighbour at an offset is a key plus a constant, found by binary search. The order of
kernel offsets is that of a ``torch.nn.Conv3d`` weight over (x, y, z).
"""

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

BITS = 16
ORIGIN = 1 << (BITS - 1)  # the voxel at the world's origin; even at every level
REACH = ORIGIN - 1024  # so that a neighbour's coordinate never spills into the next field
MOST_CLOUDS = 1 << (63 - 3 * BITS)

Pairs = list[tuple[Tensor, Tensor]]
"""For each kernel offset the rows of inputs and the rows of outputs that it joins, int64."""


class Level(NamedTuple):
    """The occupied voxels of one resolution, M of them."""

    keys: Tensor  # (M,) int64, ascending
    neighbors: Pairs  # 27 offsets, M to M: of a submanifold convolution
    down: Pairs | None  # 8 offsets, M to the next coarser level's; None at the coarsest
    parent: Tensor | None  # (M,) int64, the row of the coarser voxel that each lies in


def voxel_keys(cells: Tensor) -> Tensor:
    """Map integer coordinates (B, N, 3) of voxels to keys (B, N) int64.

    Raises:
        ValueError: A coordinate is out of range (some 31 thousand voxels to either side of the origin), or
            there are too many clouds.
    """
    if len(cells) > MOST_CLOUDS:
        raise ValueError(f"{len(cells)} clouds; a batch of voxels holds {MOST_CLOUDS}")
    if cells.numel() and cells.abs().max() > REACH:
        raise ValueError(
            f"a point lies {int(cells.abs().max())} voxels from the origin; {REACH} is the farthest: "
            "centre the cloud, or take larger voxels"
        )
    x, y, z = (cells.long() + ORIGIN).unbind(-1)
    cloud = torch.arange(len(cells), device=cells.device).unsqueeze(1)
    return (((cloud << BITS | x) << BITS | y) << BITS) | z


def find(keys: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Find the rows of ``wanted`` keys in the ascending ``keys`` (M,), and which exist; 0 where not."""
    row = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    there = keys[row] == wanted
    return row.where(there, row.new_zeros(())), there


def shift(offset: Sequence[int]) -> int:
    """Return what moves a key by an offset (x, y, z) in voxels."""
    x, y, z = offset
    return (x << 2 * BITS) + (y << BITS) + z


def neighbor_pairs(keys: Tensor, kernel_size: int = 3) -> Pairs:
    """Return the pairs of a submanifold convolution: outputs are at the inputs' voxels."""
    half = kernel_size // 2
    pairs = []
    for offset in product(range(-half, half + 1), repeat=3):
        row, there = find(keys, keys + shift(offset))
        out = there.nonzero().squeeze(1)
        pairs.append((row[out], out))
    return pairs


def coarser(keys: Tensor) -> tuple[Tensor, Tensor, Pairs]:
    """Halve the resolution: keys (M',) of the coarse voxels, the coarse row of each fine one (M,), and pairs.

    The pairs are those of a convolution of kernel 2 and stride 2.
    """
    mask = (1 << BITS) - 1
    fields = [keys >> 2 * BITS & mask, keys >> BITS & mask, keys & mask]
    # The coordinate of the origin is halved too, and moved back.
    x, y, z = (((field - ORIGIN) >> 1) + ORIGIN for field in fields)
    above = keys >> 3 * BITS
    parents, parent = torch.unique(((above << BITS | x) << BITS | y) << BITS | z, return_inverse=True)
    of_x, of_y, of_z = (field & 1 for field in fields)
    child = of_x << 2 | of_y << 1 | of_z
    rows = [(child == offset).nonzero().squeeze(1) for offset in range(8)]
    return parents, parent, [(row, parent[row]) for row in rows]


def pyramid(keys: Tensor, depth: int) -> list[Level]:
    """Return the levels of a U-Net of that many, finest first; each has voxels of twice the side.

    Args:
        keys: (M,) int64, ascending and unique.
        depth: At least 1.
    """
    levels = []
    for _ in range(depth - 1):
        parents, parent, down = coarser(keys)
        levels.append(Level(keys, neighbor_pairs(keys), down, parent))
        keys = parents
    return [*levels, Level(keys, neighbor_pairs(keys), None, None)]


class _GatherScatter(torch.autograd.Function):
    """Keeps the inputs and the weight alone; what is gathered is gathered again for the gradient."""

    @staticmethod
    def forward(ctx: Any, feats: Tensor, weight: Tensor, pairs: Pairs, num_out: int) -> Tensor:
        ctx.save_for_backward(feats, weight)
        ctx.pairs = pairs
        out = feats.new_zeros(num_out, weight.shape[2])
        for kernel, (source, target) in zip(weight, pairs, strict=True):
            out.index_add_(0, target, feats[source] @ kernel)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        feats, weight = ctx.saved_tensors
        grad_feats, grad_weight = torch.zeros_like(feats), torch.zeros_like(weight)
        for kernel, grad_kernel, (source, target) in zip(weight, grad_weight, ctx.pairs, strict=True):
            arriving = grad[target]
            grad_feats.index_add_(0, source, arriving @ kernel.T)
            torch.mm(feats[source].T, arriving, out=grad_kernel)
        return grad_feats, grad_weight, None, None


def sparse_conv(feats: Tensor, weight: Tensor, pairs: Pairs, num_out: int) -> Tensor:
    """Compute ``out[o] = sum over offsets k and pairs (i, o) of feats[i] @ weight[k]``.

    Args:
        feats: (M, I).
        weight: (K, I, O), a kernel for each offset.
        pairs: K of them.
        num_out: Rows of the output.

    Returns:
        (num_out, O). Float32 under autocast.
    """
    with torch.autocast(feats.device.type, enabled=False):
        return _GatherScatter.apply(feats.to(weight.dtype), weight, pairs, num_out)


def spconv_conv(feats: Tensor, weight: Tensor, pairs: Pairs, num_out: int) -> Tensor:
    """Compute ``sparse_conv`` by the spconv library (2.3), from the same pairs.

    Raises:
        ImportError: spconv is not installed.
    """
    try:
        from spconv.pytorch import ConvAlgo, functional
    except ImportError as error:
        raise ImportError(
            "backend='spconv' needs the spconv library, built for this machine's CUDA (such as "
            "pip install spconv-cu126); backend='torch' needs nothing"
        ) from error
    offsets, width, out = weight.shape
    side = {8: 2, 27: 3}[offsets]
    counts = torch.tensor([len(source) for source, _ in pairs], dtype=torch.int32, device=feats.device)
    table = torch.full((2, offsets, max(map(int, counts))), -1, dtype=torch.int32, device=feats.device)
    for offset, ends in enumerate(pairs):
        for row, end in enumerate(ends):
            table[row, offset, : len(end)] = end
    filters = weight.permute(2, 0, 1).reshape(out, side, side, side, width).contiguous()
    with torch.autocast(feats.device.type, enabled=False):
        feats = feats.to(weight.dtype)
        return functional.indice_conv(feats, filters, table, counts, num_out, ConvAlgo.Native)


BACKENDS = {"torch": sparse_conv, "spconv": spconv_conv}


class SparseConv(nn.Module):
    """A sparse convolution without bias: submanifold, strided or transposed by the pairs it is given.

    Args:
        in_channels: I.
        out_channels: O.
        offsets: K: 27 for a kernel of 3, 8 for one of 2.

    Attributes:
        backend: One of ``BACKENDS``.
    """

    backend = "torch"

    def __init__(self, in_channels: int, out_channels: int, offsets: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(offsets, in_channels, out_channels))
        nn.init.normal_(self.weight, std=(2 / (offsets * in_channels)) ** 0.5)  # He et al., 2015

    def forward(self, feats: Tensor, pairs: Pairs, num_out: int) -> Tensor:
        """Map (M, I) to (num_out, O)."""
        return BACKENDS[self.backend](feats, self.weight, pairs, num_out)


def transposed(pairs: Pairs) -> Pairs:
    """Return the pairs of the transposed convolution: outputs are the inputs."""
    return [(target, source) for source, target in pairs]
