"""DGCNN that learns from an image teacher: the official recipe on ModelNet40."""

_base_ = [
    "_base_/models/pointmcd.py",
    "_base_/datasets/modelnet40_distill.py",
    "_base_/schedules/sgd_350e.py",
    "_base_/default_runtime.py",
]

model = dict(backbone=dict(type="DGCNN"))
train_dataloader = dict(batch_size=24)
