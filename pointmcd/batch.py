"""The one batch that datasets make and models take, and the features that models make of it.

Shape letters of the whole project: B batch, N points in, M points kept, V views, v views loaded, C student
channels, L local channels, D teacher channels, E embedding channels, K classes, P parts, H W image.
"""

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor

FURTHER_INPUTS = ("normals", "colors")
"""What a network may see of each point after x, y, z, in this order."""


class TeacherRows(TypedDict, total=False):
    """What a teacher says of a batch, cached or computed (float32)."""

    view_descriptors: Tensor  # (B, V, D)
    descriptor: Tensor  # (B, D)
    logits: Tensor  # (B, K)
    view_logits: Tensor  # (B, V, K)
    has_logits: Tensor  # (B,) 1 where the logits are the teacher's, 0 where it may not speak; absent: all
    point_descriptors: Tensor  # (B, N, E) zeros for a point that no view sees
    point_logits: Tensor  # (B, N, P) likewise


class Batch(TypedDict, total=False):
    """Keys are there when the dataset was asked for them; ``points`` and ``index`` always are."""

    index: Tensor  # (B,) int64, row of the split
    points: Tensor  # (B, N, 3) float32, unit sphere, z up
    normals: Tensor  # (B, N, 3) float32, unit
    colors: Tensor  # (B, N, 3) float32 in [0, 1]
    visibility: Tensor  # (B, N) int32 bit masks: bit v is set where view v sees the point
    label: Tensor  # (B,) int64 class of the shape; in part segmentation its category; -1: not known
    parts: Tensor  # (B, N) int64 part of each point; -1: not known
    views: Tensor  # (B, v, 3, H, W) uint8 rendered views
    view_index: Tensor  # (B, v) int64, which views these are
    part_views: Tensor  # (B, v, H, W) int64 part of each pixel of the views, P for the background
    depths: Tensor  # (B, v, H, W) float32 along the camera's axis, in bounding radii; inf for nothing
    teacher: TeacherRows


class HeadOutput(TypedDict, total=False):
    """What a task head makes of features; those of students and of teachers hold the same keys."""

    descriptor: Tensor  # (B, E) what the classifier reads; not in part segmentation
    logits: Tensor  # (B, K), or (B, N, P) of every point in part segmentation


class PointFeatures(HeadOutput, total=False):
    """What a student makes of points: the backbone first, then neck and head; float of the model's type."""

    hidden: Tensor  # (B, M, I) input of the backbone's last layer, ``fusion``
    point_index: Tensor | None  # (B, M) int64 rows of ``points`` that the M are; None: all N in order
    point_feats: Tensor  # (B, M, C) at least 0; absent where they feed pools only
    levels: list[tuple[Tensor, Tensor]]  # x, y, z (B, m, 3) and features (B, m, c), finest first
    losses: dict[str, Tensor]  # the backbone's own weighted terms, scalars
    global_feats: Tensor  # (B, C) maximum over the points
    view_feats: Tensor  # (B, V, C) maximum over the points that each view sees; where there is a neck
    local_feats: Tensor  # (B, N, L) in the order of ``points``; where the head is dense


class ViewFeatures(TeacherRows, total=False):
    """What an image teacher makes of views: the rows that students learn from, and what its loss reads."""

    levels: list[Tensor]  # feature pyramid of the B * v images, each (B * v, c, h, w), finest first


def network_input(batch: Batch, channels: int) -> Tensor:
    """Return what a network sees of a batch.

    Args:
        batch: ``points`` (B, N, 3), and ``normals`` and ``colors`` (B, N, 3) where they were loaded; or
            ``points`` (B, N, channels), which are all of it already.
        channels: Values of a point that the network takes. With 3 it sees x, y, z, whatever else is loaded.

    Returns:
        (B, N, channels): x, y, z, then normals, then colours.

    Raises:
        ValueError: The batch has more or fewer values of a point; the text says what to load.
    """
    points = batch["points"]
    if channels == 3 or points.shape[-1] == channels:
        return points
    further = [kind for kind in FURTHER_INPUTS if kind in batch]
    check_inputs(channels, further, "the batch")
    return torch.cat([points, *(batch[kind] for kind in further)], -1)  # type: ignore[literal-required]


def check_inputs(channels: int, further: Sequence[str], where: str) -> None:
    """Refuse a network that takes another number of values than x, y, z and ``further`` (3 each).

    Raises:
        ValueError: It does.
    """
    given = 3 + 3 * len(further)
    if channels not in (3, given):
        raise ValueError(
            f"in_channels of the backbone is {channels}, but {where} has {', '.join(('x, y, z', *further))}: "
            f"{given} values of a point; give each dataset normals=True or colors=True, 3 values more each"
        )
