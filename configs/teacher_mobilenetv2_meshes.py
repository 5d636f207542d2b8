"""An image teacher for a small folder of meshes: ImageNet weights, 10 epochs, 4 views drawn each step."""

_base_ = ["_base_/datasets/meshes.py", "_base_/default_runtime.py"]

model = dict(
    type="MultiViewTeacher",
    data_preprocessor=dict(type="PointPreprocessor", transforms=[dict(type="RandomFlipViews")]),
    trunk="mobilenetv2_100",
    pretrained=True,
    normalization="timm",
    input_size=None,  # timm's, 224 pixels; 0 takes the views as they are, several times faster
    num_classes=None,
)
train_dataloader = dict(batch_size=24, dataset=dict(num_points=1, views=4))
val_dataloader = dict(batch_size=16, dataset=dict(num_points=1, views="all"))
test_dataloader = val_dataloader

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=6e-4, weight_decay=0.05))
param_scheduler = [dict(type="OneCycleLR", eta_max=6e-4, total_steps=None, convert_to_iter_based=True)]
train_cfg = dict(by_epoch=True, max_epochs=10, val_interval=5)
val_cfg = dict()
test_cfg = dict()
