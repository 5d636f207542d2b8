"""A student that also learns which classes a frozen teacher's probe sees.

A leaf config names the backbone. How much the teacher counts is for all labels; where few are known it should
count more, see docs/configs.md.
"""

_base_ = "baseline.py"

model = dict(
    type="PointMCD",
    neck=None,  # nothing is said view by view
    distill=[dict(type="LogitDistillationHead", temperature=4.0, loss_weight=0.05)],
    teacher=dict(type="CachedTeacher", data_root=None, name=None),  # the dataset names it
)
