"""PointNet++ (multi-scale) by the recipe of pointmcd_pointnet2_msg_modelnet.py, without the teacher."""

_base_ = [
    "_base_/models/baseline.py",
    "_base_/datasets/modelnet40.py",
    "_base_/schedules/sgd_350e.py",
    "_base_/default_runtime.py",
]

model = dict(backbone=dict(type="PointNet2MSG"))
train_dataloader = dict(batch_size=24)
