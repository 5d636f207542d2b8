"""Teachers: what an image network says of a shape's views, computed or read from a cache."""

from pointmcd.models.teachers.cached import CachedTeacher
from pointmcd.models.teachers.multiview import MultiViewTeacher

__all__ = ["CachedTeacher", "MultiViewTeacher"]
