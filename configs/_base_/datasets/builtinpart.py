"""The built-in shapes with their parts: ``pointmcd prepare builtin --out data/builtinpart``."""

_base_ = "shapenetpart.py"

data_root = "data/builtinpart"

train_dataloader = dict(dataset=dict(num_points=512))
val_dataloader = dict(dataset=dict(num_points=512))
test_dataloader = val_dataloader
