"""PointVST: registered components, imported through ``custom_imports``."""

from projects.pointvst.pointvst.model import PointVST

__all__ = ["PointVST"]
