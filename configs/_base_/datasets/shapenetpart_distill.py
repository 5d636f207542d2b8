"""The same, with what distillation needs: which views see a point, and what the teacher says of them."""

_base_ = "shapenetpart.py"

train_dataloader = dict(dataset=dict(visibility=True, teacher="parts"))
