"""DGCNN for part segmentation by the recipe of pointmcd_dgcnn_shapenetpart.py, without the teacher."""

_base_ = [
    "_base_/models/baseline_seg.py",
    "_base_/datasets/shapenetpart.py",
    "_base_/schedules/sgd_250e.py",
    "_base_/default_runtime.py",
]

model = dict(backbone=dict(type="DGCNNSeg"))
