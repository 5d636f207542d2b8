"""A small image teacher for the built-in shapes: from random weights, 3 views drawn each step."""

_base_ = ["_base_/datasets/builtin.py", "_base_/schedules/adamw_60e.py", "_base_/default_runtime.py"]

model = dict(
    type="MultiViewTeacher",
    data_preprocessor=dict(type="PointPreprocessor", transforms=[dict(type="RandomFlipViews")]),
    trunk="test_resnet",  # timm's smallest, 0.4 M parameters
    num_classes=None,
)
train_dataloader = dict(batch_size=32, dataset=dict(num_points=1, views=3))
val_dataloader = dict(batch_size=16, dataset=dict(num_points=1, views="all"))
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=30, val_interval=10)
