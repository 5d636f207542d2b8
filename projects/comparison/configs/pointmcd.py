"""PointMCD without labels: the descriptors of a cached autoencoder, view by view."""

_base_ = "../../../configs/pointmcd_dgcnn_unlabelled.py"

data_root = "data/comparison"

model = dict(
    backbone=dict(type="DGCNNSeg", channels=(32, 32, 64), k=16, out_channels=512),
    distill=[dict(type="ViewDistillationHead", distance="l1", projector="relu")],  # the paper's
)
train_dataloader = dict(dataset=dict(teacher="autoencoder"))
train_cfg = dict(max_epochs=40)
