"""The recipe of ``baseline_pointnet_builtin``, with a network of one's own."""

_base_ = "base.py"

custom_imports = dict(imports=["my_backbone"])

model = dict(backbone=dict(type="PointMLP"))
