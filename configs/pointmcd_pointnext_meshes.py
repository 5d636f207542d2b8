"""PointNeXt-S that learns from a frozen image teacher, on a small folder of meshes."""

_base_ = [
    "_base_/models/distilled.py",
    "_base_/datasets/meshes_distill.py",
    "_base_/schedules/adamw_100e.py",
    "_base_/default_runtime.py",
]

model = dict(backbone=dict(type="PointNeXt"))
