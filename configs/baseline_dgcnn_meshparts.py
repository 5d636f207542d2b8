"""DGCNN on the parts of a small folder of meshes, without a teacher."""

_base_ = [
    "_base_/models/baseline_seg.py",
    "_base_/datasets/meshparts.py",
    "_base_/schedules/adamw_40e.py",
    "_base_/default_runtime.py",
]

model = dict(backbone=dict(type="DGCNNSeg", k=20))
