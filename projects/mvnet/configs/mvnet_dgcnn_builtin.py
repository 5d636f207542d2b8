"""DGCNN on the built-in shapes, small enough for two CPU cores: see demo.sh.

The image network is an autoencoder of the same views, so the whole run sees no label and downloads nothing.
"""

_base_ = "_base_/mvnet.py"

data_root = "data/builtin_depth"

model = dict(
    backbone=dict(type="DGCNNSeg", channels=(32, 32, 64), k=16, out_channels=512),
    teacher=dict(
        type="ImageNetwork",
        trunk="test_resnet",  # timm's smallest, 0.4 M parameters
        levels=[1, 2, 3],
        checkpoint="work_dirs/teacher_autoencoder_builtin/epoch_6.pth",
        mean=[0.0, 0.0, 0.0],  # as the autoencoder was trained
        std=[1.0, 1.0, 1.0],
    ),
)
train_dataloader = dict(num_workers=0, dataset=dict(num_points=512))
train_cfg = dict(max_epochs=20)
