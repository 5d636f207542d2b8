"""DGCNN that learns from a frozen image teacher, with both enhancements of PointCMT; few meshes."""

_base_ = "pointmcd_dgcnn_meshes.py"

model = dict(
    distill=[
        dict(type="LogitDistillationHead", temperature=1.0, loss_weight=0.2),
        dict(type="ClassifierEnhancementHead", loss_weight=0.1),
        dict(type="FeatureEnhancementHead", num_points=128, loss_weight=1.0, generator_weight=1.0),
    ]
)
