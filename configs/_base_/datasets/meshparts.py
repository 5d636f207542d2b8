"""A small folder of meshes with parts: ``pointmcd prepare mesh-folder --out data/meshparts``.

With ``label_fraction`` and ``unlabelled="rest"`` the shapes whose parts are known alone are drawn, but an
epoch has as many steps as with all of them.
"""

_base_ = "shapenetpart.py"

data_root = "data/meshparts"

train_dataloader = dict(
    batch_size=16,
    sampler=dict(_delete_=True, type="LabelledShareSampler", share=1.0),
    dataset=dict(num_points=512),
)
val_dataloader = dict(dataset=dict(num_points=512))
test_dataloader = val_dataloader
