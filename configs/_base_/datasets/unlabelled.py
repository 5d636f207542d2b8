"""Points, masks and what the teacher says of the views; no labels, and so nothing to validate on."""

train_dataloader = dict(
    batch_size=32,  # of all processes together
    num_workers=0,  # arrays are memory-mapped: reading a batch takes less than handing it over
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="pointmcd.whole_batch"),
    dataset=dict(
        type="PreparedShapes",
        data_root=None,
        split="train",
        num_points=1024,
        visibility=True,
        teacher="autoencoder",
    ),
)
