"""Pictures, as matplotlib figures that no global state knows; ``figure.savefig(path)`` writes one."""

from pointmcd.visualization.confusion import draw_confusion
from pointmcd.visualization.embedding import draw_embedding
from pointmcd.visualization.parts import SegmentedShape, draw_extremes, draw_parts
from pointmcd.visualization.shapes import draw_shape, draw_shapes
from pointmcd.visualization.teachers import draw_part_views, draw_reconstructions

__all__ = [
    "SegmentedShape",
    "draw_confusion",
    "draw_embedding",
    "draw_extremes",
    "draw_part_views",
    "draw_parts",
    "draw_reconstructions",
    "draw_shape",
    "draw_shapes",
]
