"""Backbones: from a cloud to features of its points (contract in ``base.py``)."""

from pointmcd.models.backbones.base import PointBackbone
from pointmcd.models.backbones.dgcnn import DGCNN, DGCNNSeg
from pointmcd.models.backbones.pointnet import PointNet
from pointmcd.models.backbones.pointnet2 import PointNet2, PointNet2MSG
from pointmcd.models.backbones.pointnet2_seg import PointNet2Seg, PointNet2SegMSG

__all__ = [
    "DGCNN",
    "DGCNNSeg",
    "PointBackbone",
    "PointNet",
    "PointNet2",
    "PointNet2MSG",
    "PointNet2Seg",
    "PointNet2SegMSG",
]
