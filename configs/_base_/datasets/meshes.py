"""A small folder of meshes: fewer points and a set of its own. See docs/results.md."""

_base_ = "modelnet40.py"

data_root = "data/meshes"

train_dataloader = dict(dataset=dict(num_points=512))
val_dataloader = dict(dataset=dict(num_points=512))
test_dataloader = val_dataloader
