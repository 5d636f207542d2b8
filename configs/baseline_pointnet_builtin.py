"""PointNet on the built-in shapes by the recipe of pointmcd_pointnet_builtin.py, without the teacher."""

_base_ = [
    "_base_/models/baseline.py",
    "_base_/datasets/builtin_few.py",
    "_base_/schedules/adamw_40e.py",
    "_base_/default_runtime.py",
]

model = dict(backbone=dict(type="PointNet"))
