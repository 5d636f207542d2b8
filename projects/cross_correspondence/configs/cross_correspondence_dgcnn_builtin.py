"""The same on the built-in shapes, small enough for two CPU cores: see demo.sh."""

_base_ = "cross_correspondence_dgcnn_meshes.py"

data_root = "data/builtin_36"

model = dict(
    backbone=dict(channels=(32, 32, 64, 128), k=10, out_channels=512),
    view_encoder=dict(trunk="test_resnet", channels=512),  # timm's smallest, 0.4 M parameters
)
train_cfg = dict(max_epochs=20)
