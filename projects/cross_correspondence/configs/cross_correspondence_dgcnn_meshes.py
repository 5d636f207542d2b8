"""The same on a small folder of meshes, with a short recipe: AdamW on a cosine, 60 epochs [ours].

python tools/prepare_data.py mesh-folder --source path/to/meshes --out data/meshes_36 \
        --rig fibonacci36 --image-size 64 --visibility none
"""

_base_ = "cross_correspondence_dgcnn_modelnet.py"

data_root = "data/meshes_36"

model = dict(
    data_preprocessor=dict(
        transforms=[
            dict(type="RandomSubset", num_points=512),
            dict(type="RandomRotate", max_deg=180.0),
            dict(type="RandomScale", low=2 / 3, high=3 / 2),
            dict(type="RandomShift", shift=0.2),
            dict(type="RandomJitter", sigma=0.01, clip=0.02),
            dict(type="RandomCropViews", size=64, smallest=0.8, flip=0.5),
        ]
    ),
    view_encoder=dict(trunk="resnet10t", size=64),
)
train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(num_points=1024))

optim_wrapper = dict(optimizer=dict(_delete_=True, type="AdamW", lr=1e-3, weight_decay=0.05))
param_scheduler = [dict(type="CosineAnnealingLR", T_max=None, eta_min=1e-5, by_epoch=True)]
train_cfg = dict(max_epochs=60)
