"""Prepared shapes: the on-disk format and the dataset that reads it; ``preparation`` makes such sets."""

from pointmcd.datasets.prepared_shapes import PreparedShapes

__all__ = ["PreparedShapes"]
