"""PointVST: silhouettes, depths and contours of views, drawn from what the points say. No image network."""

_base_ = "../../pointvst/configs/pointvst_dgcnn_meshes.py"

data_root = "data/comparison"

model = dict(backbone=dict(type="DGCNNSeg", channels=(32, 32, 64), k=16, out_channels=512))
train_dataloader = dict(dataset=dict(num_points=512))
train_cfg = dict(max_epochs=40)
