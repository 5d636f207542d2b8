"""DGCNN that learns what a frozen image teacher says of each shape and of each point; few meshes, all labels.

The teacher: ``pointmcd cache-teacher --frozen mobilenetv2_100 --data data/meshes --point-dim 64``.
"""

_base_ = "pointmcd_dgcnn_meshes.py"

model = dict(
    distill=[
        dict(type="LogitDistillationHead", temperature=4.0, loss_weight=0.05),
        dict(type="PointDistillationHead", distance="cosine", projector="linear", loss_weight=0.2),
    ]
)
