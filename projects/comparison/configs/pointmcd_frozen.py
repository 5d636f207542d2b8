"""PointMCD without labels: what a frozen network of ImageNet says of each view.

The teacher: ``pointmcd cache-teacher --frozen mobilenetv2_100 --data data/comparison``; no label goes into
its descriptors.
"""

_base_ = "pointmcd.py"

model = dict(distill=[dict(type="ViewDistillationHead", distance="cosine", projector="linear")])
train_dataloader = dict(dataset=dict(teacher="frozen"))
