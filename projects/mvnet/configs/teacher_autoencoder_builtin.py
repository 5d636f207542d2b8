"""The image network of the built-in runs: a small autoencoder of the views, trained without labels."""

_base_ = [
    "../../../configs/_base_/datasets/single_views.py",
    "../../../configs/_base_/schedules/adamw_views.py",
    "../../../configs/_base_/default_runtime.py",
]

data_root = "data/builtin_depth"

model = dict(type="AutoencoderTeacher", image_size=None, trunk="test_resnet")  # from random weights
train_dataloader = dict(sampler=dict(num_samples=2_400))  # an epoch
val_dataloader = None
val_evaluator = None
val_cfg = None
test_dataloader = dict(dataset=dict(split="train"))
