"""Layers in rows layout: channels last, every leading dimension is a row."""

from pointmcd.models.layers.edge_conv import EdgeConv, EdgeMLP
from pointmcd.models.layers.feature_propagation import FeaturePropagation
from pointmcd.models.layers.norm import BatchNorm, LinearNormAct, shared_mlp
from pointmcd.models.layers.set_abstraction import SetAbstraction

__all__ = [
    "BatchNorm",
    "EdgeConv",
    "EdgeMLP",
    "FeaturePropagation",
    "LinearNormAct",
    "SetAbstraction",
    "shared_mlp",
]
