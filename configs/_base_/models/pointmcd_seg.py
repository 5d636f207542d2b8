"""A part segmentation student that also learns to match a cached teacher, view by view."""

_base_ = "baseline_seg.py"

model = dict(
    type="PointMCD",
    neck=dict(type="VAFP", num_views=None),
    distill=[dict(type="ViewDistillationHead", distance="l1", loss_weight=1.0)],
    teacher=dict(type="CachedTeacher", data_root=None, name=None),  # the dataset names it
)
