"""PointNet by the recipe of pointmcd_pointnet_modelnet.py, without the teacher."""

_base_ = [
    "_base_/models/baseline.py",
    "_base_/datasets/modelnet40.py",
    "_base_/schedules/sgd_500e.py",
    "_base_/default_runtime.py",
]

model = dict(backbone=dict(type="PointNet"))
train_dataloader = dict(batch_size=64)
