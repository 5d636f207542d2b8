"""Heads: what a model is trained to say."""

from pointmcd.models.heads.classification import ClassificationHead
from pointmcd.models.heads.distillation import (
    DescriptorDistillationHead,
    LogitDistillationHead,
    PointDistillationHead,
    PointLogitDistillationHead,
    ViewDistillationHead,
)
from pointmcd.models.heads.part_segmentation import PartSegmentationHead

__all__ = [
    "ClassificationHead",
    "DescriptorDistillationHead",
    "LogitDistillationHead",
    "PartSegmentationHead",
    "PointDistillationHead",
    "PointLogitDistillationHead",
    "ViewDistillationHead",
]
