"""A part segmentation student that also learns what a frozen teacher sees at each point."""

_base_ = "baseline_seg.py"

model = dict(
    type="PointMCD",
    neck=None,  # nothing is said view by view
    distill=[dict(type="PointDistillationHead", distance="cosine", loss_weight=0.5)],
    teacher=dict(type="CachedTeacher", data_root=None, name=None),  # the dataset names it
)
