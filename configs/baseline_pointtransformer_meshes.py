"""A transformer on patches (Point-BERT, tiny) by pointmcd_pointtransformer_meshes.py, without the teacher."""

_base_ = [
    "_base_/models/baseline.py",
    "_base_/datasets/meshes.py",
    "_base_/schedules/adamw_100e.py",
    "_base_/default_runtime.py",
]

model = dict(backbone=dict(type="PointTransformer", size="tiny"))
# Point-BERT's rate and clipping, with this schedule
optim_wrapper = dict(optimizer=dict(lr=5e-4), clip_grad=dict(max_norm=10))
