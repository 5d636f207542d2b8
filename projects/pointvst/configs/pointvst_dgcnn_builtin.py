"""DGCNN on the built-in shapes, small enough for two CPU cores.

python tools/prepare_data.py builtin --out data/builtin_depth --image-size 64 --depths
"""

_base_ = "pointvst_dgcnn_meshes.py"

data_root = "data/builtin_depth"

model = dict(backbone=dict(channels=(32, 32, 64), k=16, out_channels=512), channels=256)
train_dataloader = dict(dataset=dict(num_points=512))
train_cfg = dict(max_epochs=20)
