"""A student that also learns the classes that a frozen teacher sees, and what it sees at each point.

A leaf config names the backbone. With all labels this is what gains (docs/results/classification.md).
"""

_base_ = "distilled.py"

model = dict(
    distill=[
        dict(type="LogitDistillationHead", temperature=4.0, loss_weight=0.05),
        dict(type="PointDistillationHead", distance="cosine", projector="linear", loss_weight=0.2),
    ],
)
