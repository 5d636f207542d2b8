"""DGCNN that learns what a frozen image teacher says, and which shapes are alike to it (SEED); few meshes."""

_base_ = "pointmcd_dgcnn_meshes.py"

model = dict(
    distill=[
        dict(type="LogitDistillationHead", temperature=1.0, loss_weight=0.2),
        dict(type="SimilarityDistillationHead", queue=1024, temperature=0.07, loss_weight=0.1),
    ]
)
