"""A student that learns from a cached teacher of views alone. A leaf config names the backbone.

The release has no script for this student. That the view loss is all there is follows from the method; the
augmentation is that of the official students.
"""

model = dict(
    type="PointMCD",
    data_preprocessor=dict(
        type="PointPreprocessor",
        transforms=[dict(type="RandomScale", low=2 / 3, high=3 / 2), dict(type="RandomShift", shift=0.2)],
    ),
    head=None,
    neck=dict(type="VAFP", num_views=None),
    distill=[dict(type="ViewDistillationHead", distance="l1", loss_weight=1.0)],
    teacher=dict(type="CachedTeacher", data_root=None, name=None),  # the dataset names it
)
