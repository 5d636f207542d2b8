"""PointNet pre-trained without labels on any folder of meshes: what a frozen image network says of each view.

The teacher: ``pointmcd cache-teacher --frozen mobilenetv2_100 --data data/unlabelled``. On real meshes a
linear SVM on these features is worse than on those of random weights, and retrieval better; DGCNN gains by
both (docs/results/pretraining.md).
"""

_base_ = [
    "_base_/models/pointmcd_unlabelled.py",
    "_base_/datasets/unlabelled.py",
    "_base_/schedules/adamw_100e.py",
    "_base_/default_runtime.py",
]

data_root = "data/unlabelled"

model = dict(
    backbone=dict(type="PointNet"),
    distill=[dict(type="ViewDistillationHead", distance="cosine", projector="linear")],
)
train_dataloader = dict(dataset=dict(num_points=512, teacher="frozen"))
val_cfg = None  # no labels, no validation
test_cfg = None
