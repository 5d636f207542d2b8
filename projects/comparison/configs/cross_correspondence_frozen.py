"""Jing et al. with ImageNet's MobileNetV2 as the image network: frozen, but for a further layer."""

_base_ = "cross_correspondence.py"

model = dict(
    view_encoder=dict(
        trunk="mobilenetv2_100", pretrained=True, normalization="timm", size=96, channels=512, frozen=True
    ),
    data_preprocessor=dict(
        transforms=[
            dict(type="RandomSubset", num_points=512),
            dict(type="RandomRotate", max_deg=180.0),
            dict(type="RandomScale", low=2 / 3, high=3 / 2),
            dict(type="RandomShift", shift=0.2),
            dict(type="RandomJitter", sigma=0.01, clip=0.02),
            dict(type="RandomCropViews", size=96, smallest=0.8, flip=0.5),
        ]
    ),
)
