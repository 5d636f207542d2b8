"""PointNet on the built-in shapes, learning from the small image teacher of teacher_tinyresnet_builtin.py.

Both know a fifth of the labels. The teacher is asked about all shapes; half of each batch is labelled, the
other half any.
"""

_base_ = [
    "_base_/models/distilled.py",
    "_base_/datasets/builtin_few.py",
    "_base_/schedules/adamw_40e.py",
    "_base_/default_runtime.py",
]

model = dict(
    backbone=dict(type="PointNet"),
    distill=[dict(type="LogitDistillationHead", temperature=1.0, loss_weight=0.2)],
)
train_dataloader = dict(sampler=dict(share=0.5), dataset=dict(teacher="tinyresnet"))
