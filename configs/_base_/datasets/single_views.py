"""Views for teachers that are trained on single ones: draws a class, a shape of it, and one of its views."""

train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    drop_last=True,
    sampler=dict(type="ClassBalancedSampler", num_samples=32_000),  # an epoch
    collate_fn=dict(type="pointmcd.whole_batch"),
    dataset=dict(type="PreparedShapes", data_root=None, split="train", num_points=1, views=1),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="pointmcd.whole_batch"),
    dataset=dict(type="PreparedShapes", data_root=None, split="test", num_points=1, views="all"),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="ReconstructionMetric")
test_evaluator = val_evaluator
