"""A student on its own: the recipe of PointMCD without the teacher. A leaf config names the backbone."""

model = dict(
    type="PointModel",
    data_preprocessor=dict(
        type="PointPreprocessor",
        transforms=[dict(type="RandomScale", low=2 / 3, high=3 / 2), dict(type="RandomShift", shift=0.2)],
    ),
    head=dict(type="ClassificationHead", num_classes=None, smoothing=0.2, loss_weight=0.1),
)
