"""PointNet++ for part segmentation, with an image teacher; DGCNN's recipe, since none was released."""

_base_ = [
    "_base_/models/pointmcd_seg.py",
    "_base_/datasets/shapenetpart_distill.py",
    "_base_/schedules/sgd_250e.py",
    "_base_/default_runtime.py",
]

model = dict(
    backbone=dict(type="PointNet2Seg"),
    head=dict(use_global=False, category_channels=0, channels=(128,), negative_slope=0.0),
)
