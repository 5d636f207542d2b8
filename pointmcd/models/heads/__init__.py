"""Heads: what a model is trained to say."""

from pointmcd.models.heads.classification import ClassificationHead
from pointmcd.models.heads.classifier_enhancement import ClassifierEnhancementHead
from pointmcd.models.heads.distillation import (
    DescriptorDistillationHead,
    LogitDistillationHead,
    PointDistillationHead,
    PointLogitDistillationHead,
    ViewDistillationHead,
)
from pointmcd.models.heads.feature_enhancement import FeatureEnhancementHead
from pointmcd.models.heads.part_segmentation import PartSegmentationHead
from pointmcd.models.heads.relations import RelationalDistillationHead, SimilarityDistillationHead
from pointmcd.models.heads.text_alignment import EmbeddingHead, TextAlignmentHead

__all__ = [
    "ClassificationHead",
    "ClassifierEnhancementHead",
    "DescriptorDistillationHead",
    "EmbeddingHead",
    "FeatureEnhancementHead",
    "LogitDistillationHead",
    "PartSegmentationHead",
    "PointDistillationHead",
    "PointLogitDistillationHead",
    "RelationalDistillationHead",
    "SimilarityDistillationHead",
    "TextAlignmentHead",
    "ViewDistillationHead",
]
