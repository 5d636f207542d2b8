"""VoteNet's head on the sparse voxel U-Net of mvnet_srunet_builtin.py, in furnished rooms."""

_base_ = "_base_/detection.py"

model = dict(
    backbone=dict(
        type="SRUNet",
        voxel_size=0.1 / 1.5,  # 10 cm
        stem_channels=16,
        channels=(16, 32, 64),
        blocks=(1, 1, 1),
        decoder_channels=(64, 32, 32),
        decoder_blocks=(1, 1, 1),
        out_channels=512,
    ),
)
