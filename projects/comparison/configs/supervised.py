"""All labels, no views, the recipe of the baselines."""

_base_ = "../../../configs/baseline_dgcnn_meshes.py"

data_root = "data/comparison"

model = dict(backbone=dict(type="DGCNNSeg", channels=(32, 32, 64), k=16, out_channels=512))
train_cfg = dict(max_epochs=40)
