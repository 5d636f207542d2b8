"""DGCNN that learns what a frozen image teacher says, and how unlike shapes are to it (RKD); few meshes."""

_base_ = "pointmcd_dgcnn_meshes.py"

model = dict(
    distill=[
        dict(type="LogitDistillationHead", temperature=1.0, loss_weight=0.2),
        dict(type="RelationalDistillationHead", distance_weight=2.5, angle_weight=5.0),
    ]
)
