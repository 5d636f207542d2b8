"""A part segmentation student on its own; the decoder and the loss are those of the official DGCNN."""

model = dict(
    type="PointModel",
    data_preprocessor=dict(
        type="PointPreprocessor",
        transforms=[dict(type="RandomScale", low=0.8, high=1.2), dict(type="RandomShift", shift=0.1)],
    ),
    head=dict(type="PartSegmentationHead", num_classes=None, num_parts=None, smoothing=0.2, loss_weight=1.0),
)
