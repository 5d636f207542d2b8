"""PointNet that learns from an image teacher: the official recipe on ModelNet40."""

_base_ = [
    "_base_/models/pointmcd.py",
    "_base_/datasets/modelnet40_distill.py",
    "_base_/schedules/sgd_500e.py",
    "_base_/default_runtime.py",
]

model = dict(backbone=dict(type="PointNet"))
train_dataloader = dict(batch_size=64)
