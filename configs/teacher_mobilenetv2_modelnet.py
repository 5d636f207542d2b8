"""The official image teacher (PointMCD, teacher_c): MobileNetV2 on all views, trained to classify."""

_base_ = ["_base_/datasets/modelnet40.py", "_base_/default_runtime.py"]

model = dict(
    type="MultiViewTeacher",
    trunk="mobilenetv2_100",
    pretrained=True,  # ImageNet weights through timm; or checkpoint="path/to/weights.safetensors", or neither
    normalization="unit",
    num_classes=None,
)
train_dataloader = dict(batch_size=48, num_workers=2, dataset=dict(num_points=1, views="all"))
val_dataloader = dict(batch_size=16, num_workers=2, dataset=dict(num_points=1, views="all"))
test_dataloader = val_dataloader

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-4, weight_decay=1e-5))
param_scheduler = [dict(type="CosineAnnealingLR", T_max=None, eta_min=1e-6, by_epoch=True)]
train_cfg = dict(by_epoch=True, max_epochs=128, val_interval=1)
val_cfg = dict()
test_cfg = dict()
