"""Teachers: what an image network says of a shape's views, computed or read from a cache."""

from pointmcd.models.teachers.autoencoder import AutoencoderTeacher
from pointmcd.models.teachers.cached import CachedTeacher
from pointmcd.models.teachers.multiview import MultiViewTeacher
from pointmcd.models.teachers.part_segmentation import PartSegmentationTeacher

__all__ = ["AutoencoderTeacher", "CachedTeacher", "MultiViewTeacher", "PartSegmentationTeacher"]
