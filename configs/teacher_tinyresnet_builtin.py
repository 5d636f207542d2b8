"""A small image teacher for the built-in shapes: random weights, a fifth of the labels, 3 views a step."""

_base_ = ["_base_/datasets/builtin_few.py", "_base_/schedules/adamw_40e.py", "_base_/default_runtime.py"]

model = dict(
    type="MultiViewTeacher",
    data_preprocessor=dict(type="PointPreprocessor", transforms=[dict(type="RandomFlipViews")]),
    trunk="test_resnet",  # timm's smallest, 0.4 M parameters
    num_classes=None,
)
train_dataloader = dict(batch_size=32, dataset=dict(num_points=1, views=3))
val_dataloader = dict(batch_size=32, dataset=dict(num_points=1, views="all"))
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=20, val_interval=20)
