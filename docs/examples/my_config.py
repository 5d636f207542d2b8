"""All of the components in this folder in one training: ``pointmcd train docs/examples/my_config.py``."""

_base_ = "pointmcd_pointnet_modelnet.py"  # a config that comes with pointmcd

custom_imports = dict(
    imports=[
        "my_backbone",
        "my_dataset",
        "my_head",
        "my_hook",
        "my_loss",
        "my_metric",
        "my_neck",
        "my_sampler",
        "my_teacher",
        "my_transform",
    ]
)

data_root = "data/balls"

model = dict(
    backbone=dict(type="PointMLP"),
    head=dict(type="CosineHead"),
    neck=dict(type="MeanOfViews", num_views=None),
    distill=[
        dict(type="RelationalHead"),
        dict(type="ViewDistillationHead"),
    ],
    teacher=dict(_delete_=True, type="ShellTeacher", num_views=None),
    data_preprocessor=dict(transforms=[dict(type="Mirror", axis=0)]),
)
train_cfg = dict(max_epochs=60, val_interval=20)
custom_hooks = [dict(type="StepCounter")]
train_dataloader = dict(
    batch_size=4,
    sampler=dict(_delete_=True, type="RepeatedSampler", times=2),
    dataset=dict(type="FewOfEach", per_class=2, num_points=128, teacher=None),
)
val_dataloader = dict(dataset=dict(num_points=128))
val_evaluator = [dict(type="ClassificationMetric", num_classes=None), dict(type="Calibration")]
test_dataloader = val_dataloader
test_evaluator = val_evaluator
