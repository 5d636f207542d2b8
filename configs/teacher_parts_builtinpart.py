"""A small teacher for the parts of the built-in shapes: MobileNetV2 from ImageNet weights, 600 iterations."""

_base_ = ["_base_/datasets/single_views.py", "_base_/schedules/adamw_views.py", "_base_/default_runtime.py"]

data_root = "data/builtinpart"

model = dict(
    type="PartSegmentationTeacher",
    num_classes=None,
    num_parts=None,
    trunk="mobilenetv2_100",
    pretrained=True,
    normalization="timm",
    input_size=0,  # views as they are, for speed; None enlarges them to timm's size
)
train_dataloader = dict(sampler=dict(num_samples=3_200), dataset=dict(part_views=True))
val_dataloader = dict(dataset=dict(part_views=True))
test_dataloader = val_dataloader

val_evaluator = dict(type="PixelMetric", num_parts=None)
test_evaluator = val_evaluator
