"""The state dicts of PointMCD's official release, in the names of this package.

Only names and shapes are translated: the official networks keep point-wise weights as 1x1 convolutions and give
PointNet's layers biases that the batch norm after them cancels. Such a bias moves into the running mean.
"""

import re
from collections.abc import Iterator

import torch
from torch import Tensor

State = dict[str, Tensor]

_TNET = [
    (r"conv1", "point_layers.0.linear"),
    (r"bn1", "point_layers.0.norm"),
    (r"conv2", "point_layers.1.linear"),
    (r"bn2", "point_layers.1.norm"),
    (r"conv3", "fusion.linear"),
    (r"bn3", "fusion.norm"),
    (r"fc1", "dense_layers.0.linear"),
    (r"bn4", "dense_layers.0.norm"),
    (r"fc2", "dense_layers.1.linear"),
    (r"bn5", "dense_layers.1.norm"),
    (r"fc3", "matrix"),
]
_STUDENT = [
    (r"cdw_alignment\.linear", "head.embed.linear"),
    (r"cdw_alignment\.bn", "head.embed.norm"),
    (r"mv_cdw_alignment\.linear", "distill.0.align.linear"),
    (r"mv_cdw_alignment\.bn", "distill.0.align.norm"),
    (r"classifier", "head.classifier"),
]
_POINTNET = [
    *((rf"encoder\.encoder\.stn\.{official}", f"backbone.point_tnet.{ours}") for official, ours in _TNET),
    *((rf"encoder\.encoder\.fstn\.{official}", f"backbone.feature_tnet.{ours}") for official, ours in _TNET),
    (r"encoder\.encoder\.conv1", "backbone.layer1.linear"),
    (r"encoder\.encoder\.bn1", "backbone.layer1.norm"),
    (r"encoder\.encoder\.conv2", "backbone.layer2.linear"),
    (r"encoder\.encoder\.bn2", "backbone.layer2.norm"),
    (r"encoder\.encoder\.conv3", "backbone.fusion.linear"),
    (r"encoder\.encoder\.bn3", "backbone.fusion.norm"),
    *_STUDENT,
]
_DGCNN = [
    *(
        rule
        for i in range(4)
        for rule in (
            (rf"edge_conv_{i + 1}\.smlp\.conv", f"backbone.edge_convs.{i}.linear"),
            (rf"edge_conv_{i + 1}\.smlp\.bn", f"backbone.edge_convs.{i}.norm"),
        )
    ),
    (r"ms_fusion\.conv", "backbone.fusion.linear"),
    (r"ms_fusion\.bn", "backbone.fusion.norm"),
    *_STUDENT,
]
