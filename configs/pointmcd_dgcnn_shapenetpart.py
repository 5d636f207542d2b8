"""DGCNN for part segmentation that learns from an image teacher: the official recipe on ShapeNetPart."""

_base_ = [
    "_base_/models/pointmcd_seg.py",
    "_base_/datasets/shapenetpart_distill.py",
    "_base_/schedules/sgd_250e.py",
    "_base_/default_runtime.py",
]

model = dict(backbone=dict(type="DGCNNSeg"))
