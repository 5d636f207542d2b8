"""Part segmentation of the built-in shapes: what evaluate.py trains on top of the point network, with the
backbone of the pre-training config. Every value is ours.
"""

_base_ = "../../../configs/_base_/default_runtime.py"

custom_imports = dict(_delete_=True, imports=["projects.cross_correspondence.cross_correspondence"])
data_root = "data/builtin_36"

model = dict(
    type="PointModel",
    data_preprocessor=dict(
        type="PointPreprocessor",
        transforms=[dict(type="RandomScale", low=2 / 3, high=3 / 2), dict(type="RandomShift", shift=0.2)],
    ),
    backbone=dict(type="DGCNN", k=20),
    head=dict(type="PartSegmentationHead", num_classes=None, num_parts=None),
)
# As many steps at every share of the labels; the sampler goes through few shapes again and again.
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    collate_fn=dict(type="pointmcd.whole_batch"),
    dataset=dict(type="PreparedShapes", data_root=None, split="train", num_points=512, parts=True),
)
test_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="pointmcd.whole_batch"),
    dataset=dict(type="PreparedShapes", data_root=None, split="test", num_points=512, parts=True),
)
test_evaluator = dict(type="PartSegmentationMetric", class_parts=None)

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=2e-3, weight_decay=0.05))
param_scheduler = [dict(type="CosineAnnealingLR", T_max=None, eta_min=1e-5, by_epoch=False)]
train_cfg = dict(by_epoch=False, max_iters=150)
test_cfg = dict()
log_processor = dict(by_epoch=False)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=10_000))
