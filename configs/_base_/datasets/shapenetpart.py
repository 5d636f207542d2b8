"""Points with their parts; names and counts come from the manifest, so any set with parts will do.

Prepared by ``pointmcd prepare shapenet-part --source FOLDER --rig rings2x8 --out data/shapenetpart``.
"""

data_root = "data/shapenetpart"

train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="pointmcd.whole_batch"),
    dataset=dict(type="PreparedShapes", data_root=None, split="train", num_points=2048, parts=True),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="pointmcd.whole_batch"),
    dataset=dict(type="PreparedShapes", data_root=None, split="test", num_points=2048, parts=True),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="PartSegmentationMetric", class_parts=None)
test_evaluator = val_evaluator
