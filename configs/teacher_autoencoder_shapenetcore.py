"""The official teacher of unsupervised pre-training: an autoencoder of views (PointMCD, teacher_u)."""

_base_ = ["_base_/datasets/single_views.py", "_base_/schedules/adam_100k.py", "_base_/default_runtime.py"]

data_root = "data/shapenetcore"

model = dict(
    type="AutoencoderTeacher",
    image_size=None,
    trunk="vgg11_attention",
    normalization="unit",
    pretrained=True,  # ImageNet weights through timm; or checkpoint="path/to/vgg11_bn.pth", or neither
)
train_dataloader = dict(batch_size=55, num_workers=2, sampler=dict(num_samples=55_000))
val_dataloader = None  # nothing is held out; pointmcd cache-teacher reports the error on all shapes
val_evaluator = None
val_cfg = None
test_dataloader = dict(dataset=dict(split="train"))
