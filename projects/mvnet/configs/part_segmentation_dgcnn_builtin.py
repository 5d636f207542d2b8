"""Parts of the built-in shapes, with the backbone of mvnet_dgcnn_builtin.py, for tools/finetune.py."""

_base_ = "../../../configs/baseline_dgcnn_builtinpart.py"

data_root = "data/builtin_depth"

model = dict(backbone=dict(type="DGCNNSeg", channels=(32, 32, 64), k=16, out_channels=512))
