"""DGCNN in the space of an image-text model (CLIP, SigLIP ...): no label is looked at, classes are names.

pointmcd cache-teacher --image-text FOLDER --data data/meshes --name clip
pointmcd embed-text FOLDER --data data/meshes --out clip.npy

With model.distill.0.text=clip.npy train_dataloader.dataset.unlabelled=rest the labels that are known count.
"""

_base_ = [
    "_base_/datasets/unlabelled.py",
    "_base_/schedules/adamw_100e.py",
    "_base_/default_runtime.py",
]

data_root = "data/meshes"

model = dict(
    type="PointMCD",
    data_preprocessor=dict(
        type="PointPreprocessor",
        transforms=[dict(type="RandomScale", low=2 / 3, high=3 / 2), dict(type="RandomShift", shift=0.2)],
    ),
    backbone=dict(type="DGCNN"),
    head=dict(type="EmbeddingHead", teacher_channels=None),
    neck=None,  # nothing is said view by view
    distill=[dict(type="TextAlignmentHead", text=None, data_root=None)],
    teacher=dict(type="CachedTeacher", data_root=None, name=None),  # the dataset names it
)
train_dataloader = dict(dataset=dict(num_points=512, visibility=False, teacher="clip", unlabelled="all"))
val_cfg = None  # no labels, no validation; pointmcd zero-shot tests the exported student
test_cfg = None
