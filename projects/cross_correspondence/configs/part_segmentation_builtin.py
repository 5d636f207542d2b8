"""Part segmentation of the built-in shapes on top of the point network: for evaluate.py, and for
tools/finetune.py. Every value is ours.
"""

_base_ = [
    "../../../configs/_base_/models/baseline_seg.py",
    "../../../configs/_base_/datasets/builtinpart.py",
    "../../../configs/_base_/schedules/adamw_40e.py",
    "../../../configs/_base_/default_runtime.py",
]

custom_imports = dict(imports=["projects.cross_correspondence.cross_correspondence"])
data_root = "data/builtin_36"

# That of cross_correspondence_dgcnn_builtin.py; evaluate.py takes the backbone of whatever was pre-trained.
model = dict(backbone=dict(type="DGCNN", channels=(32, 32, 64, 128), k=10, out_channels=512))
train_dataloader = dict(batch_size=16)
train_cfg = dict(max_epochs=6)
