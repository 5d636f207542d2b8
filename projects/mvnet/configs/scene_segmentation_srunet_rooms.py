"""The same on synthetic rooms (make_rooms.py, prepare_scenes.py), small enough for two CPU cores."""

_base_ = "scene_segmentation_srunet.py"

data_root = "data/rooms"

model = dict(
    backbone=dict(
        voxel_size=0.1 / 1.5,  # 10 cm
        stem_channels=16,
        channels=(16, 32, 64),
        blocks=(1, 1, 1),
        decoder_channels=(64, 32, 32),
        decoder_blocks=(1, 1, 1),
        out_channels=512,
    ),
    head=dict(channels=(32,)),
)
train_dataloader = dict(num_workers=0, dataset=dict(num_points=2048))
val_dataloader = dict(num_workers=0, dataset=dict(num_points=2048))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=5, val_interval=5)
