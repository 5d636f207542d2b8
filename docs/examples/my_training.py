"""The recipe of ``baseline_pointnet_builtin``, with a network of one's own."""

_base_ = "baseline_pointnet_builtin.py"

custom_imports = dict(imports=["my_backbone"])

model = dict(backbone=dict(type="PointMLP"))
