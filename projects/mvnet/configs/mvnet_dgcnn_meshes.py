"""DGCNN on a folder of meshes, labelled or not, with DINOv2 as the image network (a download of 85 MB).

python tools/prepare_data.py mesh-folder --unlabelled --source MESHES --out data/meshes_depth --depths
"""

_base_ = "_base_/mvnet.py"

data_root = "data/meshes_depth"

model = dict(
    backbone=dict(type="DGCNNSeg"),
    teacher=dict(
        type="ImageNetwork",
        trunk="vit_small_patch14_dinov2",  # the paper found DINOv2 best; which size is not known
        trunk_options=dict(dynamic_img_size=True),
        levels=[3, 7, 11],  # inferred
        pretrained=True,  # or checkpoint="FILE.safetensors"
    ),
)
