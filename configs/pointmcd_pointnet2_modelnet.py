"""PointNet++ (single scale) that learns from an image teacher; DGCNN's recipe, since none was released."""

_base_ = [
    "_base_/models/pointmcd.py",
    "_base_/datasets/modelnet40_distill.py",
    "_base_/schedules/sgd_350e.py",
    "_base_/default_runtime.py",
]

model = dict(backbone=dict(type="PointNet2"))
train_dataloader = dict(batch_size=24)
