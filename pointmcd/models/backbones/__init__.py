"""Backbones: from a cloud to features of its points (contract in ``base.py``)."""

from pointmcd.models.backbones.base import PointBackbone
from pointmcd.models.backbones.dgcnn import DGCNN
from pointmcd.models.backbones.pointnet import PointNet
from pointmcd.models.backbones.pointnet2 import PointNet2, PointNet2MSG

__all__ = ["DGCNN", "PointBackbone", "PointNet", "PointNet2", "PointNet2MSG"]
