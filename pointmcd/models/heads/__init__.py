"""Heads: what a model is trained to say."""

from pointmcd.models.heads.classification import ClassificationHead
from pointmcd.models.heads.distillation import (
    DescriptorDistillationHead,
    LogitDistillationHead,
    ViewDistillationHead,
)

__all__ = [
    "ClassificationHead",
    "DescriptorDistillationHead",
    "LogitDistillationHead",
    "ViewDistillationHead",
]
