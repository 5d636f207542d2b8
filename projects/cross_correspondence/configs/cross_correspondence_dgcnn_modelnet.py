"""ResNet-18 and DGCNN on ModelNet40, without labels.

Where a value is from: [paper] the abstract of arXiv 2004.05749; [replication] public code of others that
follows it, see README.md; [ours] a choice of this project.

    python tools/prepare_data.py modelnet40 --source ModelNet40.zip --out data/modelnet40_180 \
        --rig fibonacci180 --image-size 112 --visibility none
"""

_base_ = "../../../configs/_base_/default_runtime.py"

custom_imports = dict(imports=["projects.cross_correspondence.cross_correspondence"])
data_root = "data/modelnet40_180"

model = dict(
    type="CrossCorrespondence",
    data_preprocessor=dict(
        type="PointPreprocessor",
        transforms=[
            dict(type="RandomSubset", num_points=1024),  # replication
            dict(type="RandomRotate", max_deg=180.0),  # replication: about the up axis
            dict(type="RandomScale", low=2 / 3, high=3 / 2),  # replication
            dict(type="RandomShift", shift=0.2),  # replication
            dict(type="RandomJitter", sigma=0.01, clip=0.02),  # replication
            # replication: a random crop, 112 pixels, a random flip; ours: how much is cut off
            dict(type="RandomCropViews", size=112, smallest=0.8, flip=0.5),
        ],
    ),
    backbone=dict(type="DGCNN", k=20),  # paper: DGCNN; replication: k and widths
    view_encoder=dict(
        type="ViewEncoder",
        trunk="resnet18",  # replication
        pretrained=False,  # ours: random weights, since nothing is learnt from labels
        size=112,  # replication
        normalization="imagenet",  # replication
    ),
    point_channels=512,  # replication
    verifier_channels=256,  # paper: two layers; replication: their width
    margin=2.0,  # replication
    beta=3.0,  # replication
)
train_dataloader = dict(
    batch_size=32,  # replication
    num_workers=4,  # decode the views beside the step
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="pointmcd.whole_batch"),
    dataset=dict(type="PreparedShapes", data_root=None, split="train", num_points=2048, views=2),
)

optim_wrapper = dict(
    type="OptimWrapper", optimizer=dict(type="SGD", lr=1e-3, momentum=0.9, weight_decay=5e-4)
)  # replication
param_scheduler = [dict(type="StepLR", step_size=2500, gamma=0.95, by_epoch=False)]  # replication
train_cfg = dict(by_epoch=True, max_epochs=100)  # replication: at most 100 epochs, or 60 000 steps
