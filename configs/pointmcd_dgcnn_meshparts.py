"""DGCNN on the parts of a small folder of meshes, learning what a frozen teacher sees at each point as well.

The teacher: ``pointmcd cache-teacher --frozen mobilenetv2_100 --data data/meshparts --point-dim 64``.
"""

_base_ = [
    "_base_/models/distilled_seg.py",
    "_base_/datasets/meshparts_distill.py",
    "_base_/schedules/adamw_40e.py",
    "_base_/default_runtime.py",
]

model = dict(backbone=dict(type="DGCNNSeg", k=20))
