"""Necks: from per-point features to what a teacher can be compared with."""

from pointmcd.models.necks.vafp import VAFP

__all__ = ["VAFP"]
