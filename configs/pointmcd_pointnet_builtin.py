"""PointNet on the built-in shapes, learning from the small image teacher of teacher_tinyresnet_builtin.py."""

_base_ = [
    "_base_/models/pointmcd.py",
    "_base_/datasets/builtin.py",
    "_base_/schedules/adamw_60e.py",
    "_base_/default_runtime.py",
]

model = dict(backbone=dict(type="PointNet"))
train_dataloader = dict(dataset=dict(visibility=True, teacher="tinyresnet"))
