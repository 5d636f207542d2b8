"""VoteNet's head on the PointNet++ of mvnet_pointnet2_builtin.py, in furnished rooms."""

_base_ = "_base_/detection.py"

model = dict(
    backbone=dict(
        type="PointNet2Seg",
        num_points=(512, 128),
        scales=(  # balls of 0.3 and 0.6 m
            (dict(radius=0.2, k=16, channels=(64, 64, 128)),),
            (dict(radius=0.4, k=16, channels=(128, 128, 256)),),
        ),
    ),
)
