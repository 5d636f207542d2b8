"""Backbones: from a cloud to features of its points (contract in ``base.py``)."""

from pointmcd.models.backbones.base import PointBackbone
from pointmcd.models.backbones.curvenet import CurveNet, CurveNetSeg
from pointmcd.models.backbones.dgcnn import DGCNN, DGCNNSeg
from pointmcd.models.backbones.point_transformer import PointTransformer, PointTransformerSeg
from pointmcd.models.backbones.pointnet import PointNet
from pointmcd.models.backbones.pointnet2 import PointNet2, PointNet2MSG
from pointmcd.models.backbones.pointnet2_seg import PointNet2Seg, PointNet2SegMSG
from pointmcd.models.backbones.pointnext import PointNeXt, PointNeXtSeg

__all__ = [
    "DGCNN",
    "CurveNet",
    "CurveNetSeg",
    "DGCNNSeg",
    "PointBackbone",
    "PointNeXt",
    "PointNeXtSeg",
    "PointNet",
    "PointNet2",
    "PointNet2MSG",
    "PointNet2Seg",
    "PointNet2SegMSG",
    "PointTransformer",
    "PointTransformerSeg",
]
