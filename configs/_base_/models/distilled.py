"""A student that also learns which classes a frozen teacher's probe sees.

A leaf config names the backbone. The recipe that gains where labels are few; see docs/results.md.
"""

_base_ = "baseline.py"

model = dict(
    type="PointMCD",
    neck=None,  # nothing is said view by view
    distill=[dict(type="LogitDistillationHead", temperature=1.0, loss_weight=0.2)],
    teacher=dict(type="CachedTeacher", data_root=None, name=None),  # the dataset names it
)
