"""The built-in shapes, a fifth of them labelled; an epoch has as many steps as with all labels."""

_base_ = "builtin.py"

train_dataloader = dict(
    sampler=dict(_delete_=True, type="LabelledShareSampler", share=1.0),
    dataset=dict(num_points=256, label_fraction=0.2, unlabelled="rest"),
)
val_dataloader = dict(dataset=dict(num_points=256))
test_dataloader = val_dataloader
