"""A student that also learns to match a cached teacher, view by view. A leaf config names the backbone."""

_base_ = "baseline.py"

model = dict(
    type="PointMCD",
    neck=dict(type="VAFP", num_views=None),
    distill=[dict(type="ViewDistillationHead", distance="l1", loss_weight=1.0)],
    teacher=dict(type="CachedTeacher", data_root=None, name=None),  # the dataset names it
)
