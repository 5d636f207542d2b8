"""PointNet++ that learns what a frozen image teacher sees in each shape and at each point; all labels.

The teacher: ``pointmcd cache-teacher --frozen mobilenetv2_100 --data data/meshes --point-dim 64``.
"""

_base_ = [
    "_base_/models/distilled_points.py",
    "_base_/datasets/meshes_distill.py",
    "_base_/schedules/adamw_100e.py",
    "_base_/default_runtime.py",
]

model = dict(backbone=dict(type="PointNet2", num_points=(256, 64)))
