"""PointNet on the parts of the built-in shapes, without a teacher."""

_base_ = [
    "_base_/models/baseline_seg.py",
    "_base_/datasets/builtinpart.py",
    "_base_/schedules/adamw_40e.py",
    "_base_/default_runtime.py",
]

model = dict(
    backbone=dict(type="PointNet", tnet_reg_weight=0),
    head=dict(category_channels=0, channels=(512, 256, 128), dropout=0.0, negative_slope=0.0),
)
