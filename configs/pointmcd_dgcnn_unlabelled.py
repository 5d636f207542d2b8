"""DGCNN pre-trained without labels on any folder of meshes: the view loss alone, a short recipe."""

_base_ = [
    "_base_/models/pointmcd_unlabelled.py",
    "_base_/datasets/unlabelled.py",
    "_base_/schedules/adamw_100e.py",
    "_base_/default_runtime.py",
]

data_root = "data/unlabelled"

model = dict(backbone=dict(type="DGCNN"))
train_dataloader = dict(dataset=dict(num_points=512))
val_cfg = None  # no labels, no validation
test_cfg = None
