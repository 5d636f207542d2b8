"""Semantic segmentation of S3DIS: trained on five areas, tested on the other one.

python -m projects.mvnet.tools.prepare_scenes --form s3dis --source Stanford3dDataset_v1.2_Aligned_Version \\
    --out data/s3dis --voxel 0.05

Another area: give area=N to the dataset of each of the three loaders by --cfg-options; the hook refuses
loaders that leave out different ones, and a checkpoint that was trained on the area.
"""

_base_ = "scene_segmentation_srunet_mesh.py"

data_root = "data/s3dis"

model = dict(backbone=dict(voxel_size=0.05 / 1.5))  # 5 cm, as the family takes
train_dataloader = dict(dataset=dict(type="AreaShapes", area=5))
val_dataloader = dict(dataset=dict(type="AreaShapes", area=5))
test_dataloader = val_dataloader

default_hooks = dict(left_out_area=dict(type="LeftOutAreaHook"))
