"""Prepared shapes: the on-disk format, the dataset that reads it, and the sources that it is made from."""

from pointmcd.datasets.shapes import PreparedShapes

__all__ = ["PreparedShapes"]
