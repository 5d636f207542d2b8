"""MVNet-style pre-training. A leaf config names the data, the backbone and the image network.

Every value is inferred: the paper's are not public (see the README).
"""

_base_ = "../../../../configs/_base_/default_runtime.py"

custom_imports = dict(imports=["projects.mvnet.mvnet"])

model = dict(
    type="MVNet",
    data_root=None,  # its manifest knows the cameras
    channels=128,  # inferred
    stride=8,  # inferred: of the feature grid, in pixels of the views
    eps=0.02,  # inferred: largest difference of depths of one surface point, in bounding radii
    transfer=dict(distance="cosine"),  # inferred; or smooth_l1
    correspondence=dict(
        channels=64,  # inferred
        kernel_size=3,  # inferred
        pixels=64,  # inferred: drawn for a pair of views
        pairs=64,  # inferred: drawn for a batch
        min_overlap=0.3,  # inferred: what PointContrast takes for ScanNet
        temperature=0.07,  # inferred
        coordinates=1.0,  # inferred: weight of the coordinate regression
        contrast=0.1,  # inferred: weight of InfoNCE, whose scale is some ten times larger
    ),
    consistency_weight=1.0,  # inferred
    mask_ratio=0.5,  # inferred: share of the points that the encoder is not given
    mask_patches=32,  # inferred: that they are dropped in
    augment=[  # inferred: those of PointMCD's students
        dict(type="RandomScale", low=2 / 3, high=3 / 2),
        dict(type="RandomShift", shift=0.2),
    ],
)

train_dataloader = dict(
    batch_size=32,  # inferred
    num_workers=2,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="pointmcd.whole_batch"),
    dataset=dict(
        type="PreparedShapes",
        data_root=None,
        split="train",
        num_points=1024,
        views=4,  # inferred: drawn anew each time
        depths=True,
    ),
)

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05))
param_scheduler = [dict(type="CosineAnnealingLR", T_max=None, eta_min=1e-5, by_epoch=True)]
train_cfg = dict(by_epoch=True, max_epochs=100)  # inferred
