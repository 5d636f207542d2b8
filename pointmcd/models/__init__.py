"""Registered components: backbones, teachers, necks, heads, and the two models that put them together."""

from pointmcd.models.backbones import (
    DGCNN,
    CurveNet,
    CurveNetSeg,
    DGCNNSeg,
    PointNet,
    PointNet2,
    PointNet2MSG,
    PointNet2Seg,
    PointNet2SegMSG,
    PointNeXt,
    PointNeXtSeg,
    PointTransformer,
    PointTransformerSeg,
)
from pointmcd.models.heads import (
    ClassificationHead,
    DescriptorDistillationHead,
    LogitDistillationHead,
    PartSegmentationHead,
    ViewDistillationHead,
)
from pointmcd.models.necks import VAFP
from pointmcd.models.point_model import PointModel
from pointmcd.models.pointmcd import PointMCD
from pointmcd.models.preprocessor import PointPreprocessor
from pointmcd.models.teachers import (
    AutoencoderTeacher,
    CachedTeacher,
    MultiViewTeacher,
    PartSegmentationTeacher,
)

__all__ = [
    "DGCNN",
    "VAFP",
    "AutoencoderTeacher",
    "CachedTeacher",
    "ClassificationHead",
    "CurveNet",
    "CurveNetSeg",
    "DGCNNSeg",
    "DescriptorDistillationHead",
    "LogitDistillationHead",
    "MultiViewTeacher",
    "PartSegmentationHead",
    "PartSegmentationTeacher",
    "PointMCD",
    "PointModel",
    "PointNeXt",
    "PointNeXtSeg",
    "PointNet",
    "PointNet2",
    "PointNet2MSG",
    "PointNet2Seg",
    "PointNet2SegMSG",
    "PointPreprocessor",
    "PointTransformer",
    "PointTransformerSeg",
    "ViewDistillationHead",
]
