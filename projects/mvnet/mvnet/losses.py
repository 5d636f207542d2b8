"""The two losses: features of points against those of an image network, and across views.

The form of both is inferred; the paper's abstract and reviews say what they are for (see the README).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd.models.layers import LinearNormAct
from projects.mvnet.mvnet.views import Matches, overlap


class KnowledgeTransfer(nn.Module):
    """Features of surface points, through a head for each level, against the image network's there.

    Args:
        in_channels: C of the point features.
        level_channels: D of each level of the image network.
        distance: ``cosine``, 1 - cos, or ``smooth_l1`` between the features scaled to unit length, summed
            over channels.
        beta: Of ``smooth_l1``: where it turns from square to absolute value. At 2 or more the loss is
            (1 - cos) / beta.

    Raises:
        ValueError: The distance is not known.
    """

    def __init__(
        self, in_channels: int, level_channels: list[int], distance: str = "cosine", beta: float = 0.05
    ) -> None:
        super().__init__()
        if distance not in ("cosine", "smooth_l1"):
            raise ValueError(f"distance is {distance!r}; choose cosine or smooth_l1")
        self.heads = nn.ModuleList(
            nn.Sequential(LinearNormAct(in_channels, in_channels), nn.Linear(in_channels, width))
            for width in level_channels
        )
        self.distance, self.beta = distance, beta

    def forward(self, feats: Tensor, targets: list[Tensor]) -> Tensor:
        """Return the mean over points, then over levels.

        Args:
            feats: (R, C) of R surface points.
            targets: (R, D) for each level.
        """
        distances = [
            self._distance(head(feats), target) for head, target in zip(self.heads, targets, strict=True)
        ]
        return torch.stack(distances).mean()

    def _distance(self, ours: Tensor, theirs: Tensor) -> Tensor:
        if not len(ours):
            return ours.sum()  # no view shows anything: zero, with a gradient
        ours, theirs = F.normalize(ours.float(), dim=-1), F.normalize(theirs.float(), dim=-1)
        if self.distance == "cosine":
            return 1 - (ours * theirs).sum(-1).mean()
        return F.smooth_l1_loss(ours, theirs, reduction="none", beta=self.beta).sum(-1).mean()


class ViewCorrespondence(nn.Module):
    """Say where a pixel of one view lies in another, for pairs of views that overlap.

    A small convolution over each view's map makes the features that are compared, so that what surrounds a
    pixel in its view counts: with ``kernel_size=1`` two pixels of one surface point have the same features
    from the start, and only telling points apart is left to learn. Two losses, either may have weight 0:

    - ``coordinates``: soft-argmax of the feature similarity over the other view's grid, and its L1 distance
      from the true (u, v) in [0, 1]^2;
    - ``contrast``: InfoNCE among the pixels drawn of a pair, the positive read bilinearly at the true place.

    Args:
        in_channels: C of the maps.
        channels: Width of the compared features.
        kernel_size: Of the convolution, odd.
        pixels: Drawn for each pair of views.
        pairs: Drawn for each batch, of those that overlap; both orders of two views count.
        min_overlap: Least share of the first view's surface that the second sees.
        temperature: Of both softmaxes.
        coordinates: Weight of the coordinate loss.
        contrast: Weight of the contrastive loss.

    Raises:
        ValueError: Both weights are 0, or the kernel size is even.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 64,
        kernel_size: int = 3,
        pixels: int = 64,
        pairs: int = 64,
        min_overlap: float = 0.3,
        temperature: float = 0.07,
        coordinates: float = 1.0,
        contrast: float = 1.0,
    ) -> None:
        super().__init__()
        if coordinates == contrast == 0:
            raise ValueError("both weights are 0; give MVNet correspondence=None to train without")
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, not {kernel_size}")
        self.describe = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, kernel_size, padding=kernel_size // 2),
            nn.ReLU(),
            nn.Conv2d(in_channels, channels, 1),
        )
        self.pixels, self.pairs, self.min_overlap = pixels, pairs, min_overlap
        self.temperature = temperature
        self.coordinates, self.contrast = coordinates, contrast

    def forward(self, maps: Tensor, valid: Tensor, matches: Matches, positions: Tensor) -> dict[str, Tensor]:
        """Return the weighted losses; zero where no pair of views overlaps enough.

        Args:
            maps: (B, v, h, h, C), zero where not ``valid``.
            valid: (B, v, h, h) bool.
            matches: Of the same views.
            positions: (h,) where the grid's columns and rows lie, in 0..1.
        """
        features = self.describe(maps.flatten(0, 1).permute(0, 3, 1, 2)).float()
        features = F.normalize(features, dim=1).unflatten(0, maps.shape[:2])  # (B, v, D, h, h)
        shape, first, second = self._draw_pairs(matches, valid)
        found = matches.found[shape, first, second].flatten(1)  # (K, h h)
        order, keep = self._draw_pixels(found)
        queries = _take(features[shape, first].flatten(2).transpose(1, 2), order)
        truth = _take(matches.position[shape, first, second].flatten(1, 2), order)
        keys, seen = features[shape, second], valid[shape, second]
        losses = {}
        if self.coordinates:
            guess = self.locate(queries, keys, seen, positions)
            losses["loss_coordinates"] = self.coordinates * _mean((guess - truth).abs().mean(-1), keep)
        if self.contrast:
            positives = _read(keys * seen.unsqueeze(1), truth, positions)
            losses["loss_contrast"] = self.contrast * self._info_nce(queries, positives, keep)
        return losses

    def locate(self, queries: Tensor, keys: Tensor, seen: Tensor, positions: Tensor) -> Tensor:
        """Locate the queries in a map, by soft-argmax.

        Args:
            queries: (K, P, D) of unit length.
            keys: (K, D, h, h) of unit length.
            seen: (K, h, h) bool, where the map shows something.
            positions: (h,) in 0..1.

        Returns:
            (K, P, 2), u and v.
        """
        similarity = queries @ keys.flatten(2) / self.temperature
        similarity = similarity.masked_fill(~seen.flatten(1).unsqueeze(1), torch.finfo(similarity.dtype).min)
        v, u = torch.meshgrid(positions, positions, indexing="ij")
        return similarity.softmax(-1) @ torch.stack([u, v], -1).flatten(0, 1)

    def _draw_pairs(self, matches: Matches, valid: Tensor) -> tuple[Tensor, ...]:
        """Draw pairs: the shape, first and second view of each, (K,)."""
        enough = overlap(matches.found, valid) >= self.min_overlap
        enough &= ~torch.eye(enough.shape[-1], dtype=torch.bool, device=enough.device)
        pairs = enough.nonzero()
        return pairs[torch.randperm(len(pairs), device=pairs.device)[: self.pairs]].unbind(1)

    def _draw_pixels(self, found: Tensor) -> tuple[Tensor, Tensor]:
        """Draw pixels (K, P) of those found (K, Q), and say which were; too few are filled up."""
        lottery = torch.rand_like(found, dtype=torch.float) + found
        order = lottery.topk(min(self.pixels, found.shape[1]), dim=1).indices
        return order, found.gather(1, order)

    def _info_nce(self, queries: Tensor, positives: Tensor, keep: Tensor) -> Tensor:
        logits = queries @ positives.transpose(1, 2) / self.temperature
        logits = logits.masked_fill(~keep.unsqueeze(1), torch.finfo(logits.dtype).min)
        own = torch.diagonal(logits, dim1=1, dim2=2)
        return _mean(logits.logsumexp(-1) - own, keep)


def _take(rows: Tensor, index: Tensor) -> Tensor:
    """Take the rows (K, P) of (K, Q, C): (K, P, C)."""
    return rows.gather(1, index.unsqueeze(-1).expand(-1, -1, rows.shape[-1]))


def _read(maps: Tensor, places: Tensor, positions: Tensor) -> Tensor:
    """Return maps (K, D, h, h) read bilinearly at (K, P, 2) -> (K, P, D) of unit length."""
    low, high = positions[0], positions[-1]
    nodes = 2 * (places - low) / (high - low).clamp(min=1e-6) - 1  # -1 and 1 at the outer nodes
    read = F.grid_sample(maps, nodes.unsqueeze(1), mode="bilinear", padding_mode="border", align_corners=True)
    return F.normalize(read[:, :, 0].transpose(1, 2), dim=-1)


def _mean(values: Tensor, keep: Tensor) -> Tensor:
    """Mean of the values kept; 0 without any, with a gradient."""
    return values.where(keep, values.new_zeros(())).sum() / keep.sum().clamp(min=1)
