"""Points and labels of a prepared set; class names and counts come from its manifest, so any set will do."""

data_root = "data/modelnet40"

train_dataloader = dict(
    batch_size=32,  # of all processes together, as every batch size here
    num_workers=0,  # arrays are memory-mapped: reading a batch takes less than handing it over
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="pointmcd.whole_batch"),
    dataset=dict(type="PreparedShapes", data_root=None, split="train", num_points=1024),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="pointmcd.whole_batch"),
    dataset=dict(type="PreparedShapes", data_root=None, split="test", num_points=1024),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="ClassificationMetric", num_classes=None)
test_evaluator = val_evaluator
