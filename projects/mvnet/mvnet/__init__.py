"""MVNet-style pre-training: registered components, imported through ``custom_imports``."""

from projects.mvnet.mvnet.areas import LeftOutAreaHook
from projects.mvnet.mvnet.image_network import ImageNetwork
from projects.mvnet.mvnet.map_cache import CachedMaps, ShapesWithMaps
from projects.mvnet.mvnet.model import MVNet
from projects.mvnet.mvnet.posed_shapes import AreaShapes, PosedShapes
from projects.mvnet.mvnet.scene_segmentation import SceneSegmentationHead, SceneSegmentationMetric
from projects.mvnet.mvnet.srunet import SRUNet

__all__ = [
    "AreaShapes",
    "CachedMaps",
    "ImageNetwork",
    "LeftOutAreaHook",
    "MVNet",
    "PosedShapes",
    "SRUNet",
    "SceneSegmentationHead",
    "SceneSegmentationMetric",
    "ShapesWithMaps",
]
