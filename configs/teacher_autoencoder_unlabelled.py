"""A small autoencoder for any folder of meshes: MobileNetV2 from ImageNet weights, 900 iterations."""

_base_ = ["_base_/datasets/single_views.py", "_base_/schedules/adamw_views.py", "_base_/default_runtime.py"]

data_root = "data/unlabelled"

model = dict(
    type="AutoencoderTeacher",
    image_size=None,
    trunk="mobilenetv2_100",
    pretrained=True,
    normalization="timm",
    input_size=0,  # views as they are, for speed; None enlarges them to timm's size
)
train_dataloader = dict(sampler=dict(num_samples=4_800))
# At the full rate the trunk forgets what it knew of things: its descriptors tell classes apart worse than the
# ImageNet weights do.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"trunk.body": dict(lr_mult=0.1)}))
param_scheduler = [dict(type="CosineAnnealingLR", T_max=None, eta_min=0, convert_to_iter_based=True)]
val_dataloader = None  # nothing is held out; pointmcd cache-teacher reports the error on all shapes
val_evaluator = None
val_cfg = None
test_dataloader = dict(dataset=dict(split="train"))
