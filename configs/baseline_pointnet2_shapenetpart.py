"""PointNet++ (single scale) by the recipe of pointmcd_pointnet2_shapenetpart.py, without the teacher."""

_base_ = [
    "_base_/models/baseline_seg.py",
    "_base_/datasets/shapenetpart.py",
    "_base_/schedules/sgd_250e.py",
    "_base_/default_runtime.py",
]

model = dict(
    backbone=dict(type="PointNet2Seg"),
    head=dict(use_global=False, category_channels=0, channels=(128,), negative_slope=0.0),
)
