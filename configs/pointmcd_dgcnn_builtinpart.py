"""DGCNN on the parts of the built-in shapes, learning from an image teacher as well."""

_base_ = [
    "_base_/models/pointmcd_seg.py",
    "_base_/datasets/builtinpart.py",
    "_base_/schedules/adamw_40e.py",
    "_base_/default_runtime.py",
]

model = dict(backbone=dict(type="DGCNNSeg", k=20))
train_dataloader = dict(dataset=dict(visibility=True, teacher="parts"))
