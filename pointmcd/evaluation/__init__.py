"""Metrics and protocols."""

from pointmcd.evaluation.classification import ClassificationMetric
from pointmcd.evaluation.part_segmentation import PartSegmentationMetric
from pointmcd.evaluation.pixels import PixelMetric, ReconstructionMetric

__all__ = ["ClassificationMetric", "PartSegmentationMetric", "PixelMetric", "ReconstructionMetric"]
