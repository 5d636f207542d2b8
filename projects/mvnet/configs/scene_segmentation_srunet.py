"""Semantic segmentation of crops of ScanNet, fine-tuned from a pre-trained voxel U-Net or from nothing.

python -m projects.mvnet.tools.prepare_scenes --source scans --out data/scannet --train scannetv2_train.txt \
    --test scannetv2_val.txt

To start from pre-trained weights add to custom_hooks dict(type="PretrainedBackboneHook", checkpoint="FILE").
"""

_base_ = "../../../configs/_base_/default_runtime.py"

custom_imports = dict(imports=["projects.mvnet.mvnet"])
data_root = "data/scannet"

model = dict(
    type="PointModel",
    data_preprocessor=dict(
        type="PointPreprocessor",
        transforms=[  # inferred
            dict(type="RandomRotate"),
            dict(type="RandomScale", low=0.9, high=1.1),
            dict(type="RandomJitter", sigma=0.003, clip=0.01),
        ],
    ),
    backbone=dict(
        type="SRUNet", voxel_size=0.02 / 1.5
    ),  # 2 cm, as the family takes; 1.5 m is the crops' radius
    head=dict(
        type="SceneSegmentationHead",
        num_classes=None,
        num_parts=None,
        use_global=False,
        category_channels=0,
        channels=(96,),
        negative_slope=0.0,
        smoothing=0.0,
    ),
)

train_dataloader = dict(
    batch_size=16,  # inferred
    num_workers=2,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="pointmcd.whole_batch"),
    dataset=dict(type="PreparedShapes", data_root=None, split="train", num_points=4096, parts=True),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=2,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="pointmcd.whole_batch"),
    dataset=dict(type="PreparedShapes", data_root=None, split="test", num_points=4096, parts=True),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="SceneSegmentationMetric", num_parts=None)
test_evaluator = val_evaluator

# inferred, as the epochs
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=2e-3, weight_decay=0.05))
param_scheduler = [dict(type="CosineAnnealingLR", T_max=None, eta_min=1e-5, by_epoch=True)]
train_cfg = dict(by_epoch=True, max_epochs=60, val_interval=20)
val_cfg = dict()
test_cfg = dict()
