"""DGCNN on a folder of meshes, labelled or not.

python tools/prepare_data.py mesh-folder --unlabelled --source MESHES --out data/meshes_depth --depths
"""

_base_ = [
    "../../../configs/_base_/datasets/unlabelled.py",
    "../../../configs/_base_/schedules/adamw_100e.py",
    "../../../configs/_base_/default_runtime.py",
]

custom_imports = dict(imports=["projects.pointvst.pointvst"])
data_root = "data/meshes_depth"

model = dict(
    type="PointVST",
    data_root=None,  # its manifest knows the cameras
    image_size=None,
    backbone=dict(type="DGCNNSeg"),
    channels=512,  # inferred
    weights=(1.0, 1.0, 1.0),  # inferred: silhouette, depth, contours
    data_preprocessor=dict(  # inferred: that of PointMCD's students
        type="PointPreprocessor",
        transforms=[dict(type="RandomScale", low=2 / 3, high=3 / 2), dict(type="RandomShift", shift=0.2)],
    ),
)
train_dataloader = dict(
    dataset=dict(
        num_points=1024,
        teacher=None,
        views=2,  # inferred: drawn anew each time
        depths=True,
    )
)
optim_wrapper = dict(optimizer=dict(lr=1e-3))  # inferred
val_cfg = None  # no labels, no validation
test_cfg = None
