"""Part segmentation of ShapeNetPart on the point network, for evaluate.py and finetune.py; our values."""

_base_ = [
    "../../../configs/_base_/models/baseline_seg.py",
    "../../../configs/_base_/datasets/shapenetpart.py",
    "../../../configs/_base_/schedules/adamw_40e.py",
    "../../../configs/_base_/default_runtime.py",
]

custom_imports = dict(imports=["projects.cross_correspondence.cross_correspondence"])

# That of cross_correspondence_dgcnn_modelnet.py; evaluate.py takes the backbone of whatever was pre-trained.
model = dict(backbone=dict(type="DGCNN", k=20))
