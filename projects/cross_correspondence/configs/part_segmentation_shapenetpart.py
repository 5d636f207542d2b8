"""Part segmentation of ShapeNetPart: what evaluate.py trains on top of the point network [ours].

python tools/prepare_data.py shapenet-part --source path/to/shapenetpart --out data/shapenetpart
"""

_base_ = "part_segmentation_builtin.py"

data_root = "data/shapenetpart"

train_dataloader = dict(batch_size=32, num_workers=2, dataset=dict(num_points=2048))
test_dataloader = dict(batch_size=32, num_workers=2, dataset=dict(num_points=2048))

param_scheduler = [dict(type="CosineAnnealingLR", T_max=None, eta_min=1e-5, by_epoch=False)]
train_cfg = dict(max_iters=20_000)
