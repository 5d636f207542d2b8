"""PointNet for part segmentation that learns from an image teacher: the official recipe on ShapeNetPart."""

_base_ = [
    "_base_/models/pointmcd_seg.py",
    "_base_/datasets/shapenetpart_distill.py",
    "_base_/schedules/sgd_250e.py",
    "_base_/default_runtime.py",
]

model = dict(
    backbone=dict(type="PointNet", tnet_reg_weight=0),
    head=dict(
        category_channels=0,
        channels=(512, 256, 128),
        dropout=0.0,
        negative_slope=0.0,
        smoothing=0.05,
        loss_weight=0.1,
    ),
)
train_cfg = dict(max_epochs=200)
