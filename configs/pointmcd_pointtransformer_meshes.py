"""A transformer on patches (Point-BERT, tiny) that learns from a frozen image teacher, on few meshes."""

_base_ = [
    "_base_/models/distilled.py",
    "_base_/datasets/meshes_distill.py",
    "_base_/schedules/adamw_100e.py",
    "_base_/default_runtime.py",
]

model = dict(backbone=dict(type="PointTransformer", size="tiny"))
# Point-BERT's rate and clipping, with this schedule
optim_wrapper = dict(optimizer=dict(lr=5e-4), clip_grad=dict(max_norm=10))
