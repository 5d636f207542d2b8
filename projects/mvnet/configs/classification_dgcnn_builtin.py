"""Classes of the built-in shapes, with the backbone of mvnet_dgcnn_builtin.py, for tools/finetune.py."""

_base_ = [
    "../../../configs/_base_/models/baseline.py",
    "../../../configs/_base_/datasets/builtin.py",
    "../../../configs/_base_/schedules/adamw_60e.py",
    "../../../configs/_base_/default_runtime.py",
]

data_root = "data/builtin_depth"

model = dict(
    backbone=dict(type="DGCNNSeg", channels=(32, 32, 64), k=16, out_channels=512),
)
