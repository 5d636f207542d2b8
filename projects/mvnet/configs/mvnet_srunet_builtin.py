"""A small sparse voxel U-Net on the built-in shapes."""

_base_ = "mvnet_dgcnn_builtin.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="SRUNet",
        voxel_size=0.08,
        stem_channels=16,
        channels=(16, 32, 64),
        blocks=(1, 1, 1),
        decoder_channels=(64, 32, 32),
        decoder_blocks=(1, 1, 1),
        out_channels=512,
    ),
)
