"""The official start of the teacher for part segmentation: an autoencoder of views (PointMCD, teacher_s)."""

_base_ = ["_base_/datasets/single_views.py", "_base_/schedules/adam_100k.py", "_base_/default_runtime.py"]

data_root = "data/shapenetpart"

model = dict(
    type="AutoencoderTeacher",
    image_size=None,
    trunk="vgg11_attention",
    normalization="unit",
    pretrained=True,  # ImageNet weights through timm; or checkpoint="path/to/vgg11_bn.pth", or neither
)
train_dataloader = dict(num_workers=2)
