"""Pictures, as matplotlib figures that no global state knows; ``figure.savefig(path)`` writes one."""

from pointmcd.visualization.confusion import draw_confusion
from pointmcd.visualization.shapes import draw_shape, draw_shapes

__all__ = ["draw_confusion", "draw_shape", "draw_shapes"]
