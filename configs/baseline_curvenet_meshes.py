"""CurveNet by the recipe of pointmcd_curvenet_meshes.py, without the teacher."""

_base_ = [
    "_base_/models/baseline.py",
    "_base_/datasets/meshes.py",
    "_base_/schedules/adamw_100e.py",
    "_base_/default_runtime.py",
]

model = dict(backbone=dict(type="CurveNet"))
