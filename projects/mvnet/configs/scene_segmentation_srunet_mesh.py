"""Semantic segmentation of ScanNet's meshes with their colours; its benchmark: evaluate_scenes.py.

python -m projects.mvnet.tools.prepare_scenes --form mesh --source scans --out data/scannet_mesh \\
    --train scannetv2_train.txt --test scannetv2_val.txt
"""

_base_ = "scene_segmentation_srunet.py"

data_root = "data/scannet_mesh"

model = dict(backbone=dict(in_channels=6))  # x, y, z and the colour
train_dataloader = dict(dataset=dict(colors=True))
val_dataloader = dict(dataset=dict(colors=True))
test_dataloader = val_dataloader
