"""The same for 500 epochs, as the official PointNet is trained."""

_base_ = "sgd_350e.py"

train_cfg = dict(max_epochs=500)
