"""The built-in shapes, prepared by ``make demo`` or ``pointmcd prepare builtin --out data/builtin``."""

_base_ = "modelnet40.py"

data_root = "data/builtin"

train_dataloader = dict(dataset=dict(num_points=512))
val_dataloader = dict(dataset=dict(num_points=512))
test_dataloader = val_dataloader
