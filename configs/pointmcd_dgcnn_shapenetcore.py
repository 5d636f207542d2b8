"""DGCNN pre-trained on ShapeNetCore without labels: 16 views in two rings, the view loss alone.

The release leaves this student out. Our choice: optimiser, batch and augmentation of the official DGCNN on
ModelNet40, 100 epochs (ShapeNetCore has five times as many shapes), 1024 points.
"""

_base_ = [
    "_base_/models/pointmcd_unlabelled.py",
    "_base_/datasets/unlabelled.py",
    "_base_/schedules/sgd_100e.py",
    "_base_/default_runtime.py",
]

data_root = "data/shapenetcore"

model = dict(backbone=dict(type="DGCNN"))
train_dataloader = dict(batch_size=24)
val_cfg = None  # no labels, no validation
test_cfg = None
