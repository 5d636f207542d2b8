"""The image network of the built-in runs: a small autoencoder of the views, trained without labels."""

_base_ = "../../../configs/teacher_autoencoder_unlabelled.py"

data_root = "data/builtin_depth"

model = dict(trunk="test_resnet", pretrained=False)
