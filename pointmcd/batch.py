"""The one batch that datasets make and models take.

Shape letters of the whole project: B batch, N points in, M points kept, V views, v views loaded, C student
channels, D teacher channels, K classes, P parts, H W image.
"""

from typing import TypedDict

from torch import Tensor


class TeacherRows(TypedDict, total=False):
    """What a teacher says of a batch, cached or computed (float32)."""

    view_descriptors: Tensor  # (B, V, D)
    descriptor: Tensor  # (B, D)
    logits: Tensor  # (B, K)
    view_logits: Tensor  # (B, V, K)
    has_logits: Tensor  # (B,) 1 where the logits are the teacher's, 0 where it may not speak; absent: all
    point_descriptors: Tensor  # (B, N, E)


class Batch(TypedDict, total=False):
    """Keys are there when the dataset was asked for them; ``points`` and ``index`` always are."""

    index: Tensor  # (B,) int64, row of the split
    points: Tensor  # (B, N, 3) float32, unit sphere, z up
    normals: Tensor  # (B, N, 3) float32
    visibility: Tensor  # (B, N) int32 bit masks: bit v is set where view v sees the point
    label: Tensor  # (B,) int64 class of the shape; in part segmentation its category; -1: not known
    parts: Tensor  # (B, N) int64 part of each point; -1: not known
    views: Tensor  # (B, v, 3, H, W) uint8 rendered views
    view_index: Tensor  # (B, v) int64, which views these are
    part_views: Tensor  # (B, v, H, W) int64 part of each pixel of the views, P for the background
    depths: Tensor  # (B, v, H, W) float32 along the camera's axis, in bounding radii; inf for nothing
    teacher: TeacherRows
