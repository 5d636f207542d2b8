"""PointNet++ on the built-in shapes."""

_base_ = "mvnet_dgcnn_builtin.py"

model = dict(
    backbone=dict(_delete_=True, type="PointNet2Seg", num_points=(128, 32)),
)
