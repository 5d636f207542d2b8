"""Metrics and protocols."""

from pointmcd.evaluation.classification import ClassificationMetric
from pointmcd.evaluation.part_segmentation import PartSegmentationMetric

__all__ = ["ClassificationMetric", "PartSegmentationMetric"]
