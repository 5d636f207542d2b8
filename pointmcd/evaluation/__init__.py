"""Metrics and protocols."""

from pointmcd.evaluation.classification import ClassificationMetric

__all__ = ["ClassificationMetric"]
