"""A small folder of meshes: fewer points and a set of its own. See docs/results.md.

With ``label_fraction`` and ``unlabelled="rest"`` the labelled shapes alone are drawn, but an epoch has as
many steps as with all labels.
"""

_base_ = "modelnet40.py"

data_root = "data/meshes"

train_dataloader = dict(
    sampler=dict(_delete_=True, type="LabelledShareSampler", share=1.0), dataset=dict(num_points=512)
)
val_dataloader = dict(dataset=dict(num_points=512))
test_dataloader = val_dataloader
