"""The official teacher for parts (PointMCD, teacher_s), from teacher_autoencoder_shapenetpart.py."""

_base_ = ["_base_/datasets/single_views.py", "_base_/schedules/adam_100k.py", "_base_/default_runtime.py"]

data_root = "data/shapenetpart"

model = dict(
    type="PartSegmentationTeacher",
    num_classes=None,
    num_parts=None,
    trunk="vgg11_attention",
    normalization="unit",
    checkpoint="work_dirs/teacher_autoencoder_shapenetpart/epoch_100.pth",
)
train_dataloader = dict(num_workers=2, dataset=dict(part_views=True))
val_dataloader = dict(dataset=dict(part_views=True))
test_dataloader = val_dataloader

val_evaluator = dict(type="PixelMetric", num_parts=None)
test_evaluator = val_evaluator
