"""Jing et al.: does the cloud belong to the view? An image network of random weights learns beside."""

_base_ = "../../cross_correspondence/configs/cross_correspondence_dgcnn_meshes.py"

data_root = "data/comparison"

model = dict(backbone=dict(type="DGCNNSeg", channels=(32, 32, 64), k=16, out_channels=512))
train_cfg = dict(max_epochs=40)
