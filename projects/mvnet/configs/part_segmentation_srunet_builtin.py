"""Parts of the built-in shapes, with the backbone of mvnet_srunet_builtin.py, for tools/finetune.py."""

_base_ = "../../../configs/baseline_dgcnn_builtinpart.py"

custom_imports = dict(imports=["projects.mvnet.mvnet"])
data_root = "data/builtin_depth"

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
