"""A small sparse voxel U-Net that sees colours, on one real scene: RedKitchen of 7-Scenes.

python -m projects.mvnet.tools.prepare_scenes --source 7scenes --out data/redkitchen --train train.txt \\
    --test test.txt --points 2048 --radius 1 --views 8 --image-size 160 --every 2 --stride 4
python -m projects.mvnet.tools.cache_maps projects/mvnet/configs/mvnet_srunet_redkitchen.py --name mobilenetv2
"""

_base_ = "_base_/mvnet.py"

data_root = "data/redkitchen"

model = dict(
    backbone=dict(
        type="SRUNet",
        in_channels=6,  # x, y, z and the colour
        voxel_size=0.05,  # 5 cm, of crops of 1 m
        stem_channels=16,
        channels=(16, 32, 64),
        blocks=(1, 1, 1),
        decoder_channels=(64, 32, 32),
        decoder_blocks=(1, 1, 1),
        out_channels=256,
    ),
    teacher=dict(
        type="ImageNetwork",
        trunk="mobilenetv2_100",  # small enough for a CPU
        levels=[2, 3, 4],
        pretrained=True,  # or checkpoint="FILE.safetensors"
    ),
    eps=0.03,  # 3 cm: the frames agree to 6 to 15 mm
    augment=[  # a scene has no canonical heading
        dict(type="RandomRotate"),
        dict(type="RandomScale", low=0.9, high=1.1, anisotropic=False),
        dict(type="RandomJitter", sigma=0.003, clip=0.01),
    ],
)
train_dataloader = dict(
    batch_size=10,
    num_workers=0,
    dataset=dict(type="PosedShapes", num_points=2048, colors=True),
)
train_cfg = dict(max_epochs=60)
