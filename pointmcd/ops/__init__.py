"""The hot operations, each with a torch form that runs anywhere and faster kernels where they are.

``backends()`` and ``python -m pointmcd.ops`` say what runs where; ``reference`` holds the plain formulas.
"""

import os

from .batch_norm_act import batch_norm_act
from .dispatch import available, backends, runs_on, use_backend
from .edge_conv import edge_conv
from .group import ball_query, group
from .interpolate import interpolate
from .knn import knn
from .linear_norm_pool import linear_norm_pool
from .sample import farthest_point_sample
from .visibility_pool import visibility_pool

# torch then asks Linux for huge pages for large CPU tensors: page faults were a quarter of a PointNet++ step.
# It looks at the first allocation, and never again.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

__all__ = [
    "available",
    "backends",
    "ball_query",
    "batch_norm_act",
    "edge_conv",
    "farthest_point_sample",
    "group",
    "interpolate",
    "knn",
    "linear_norm_pool",
    "runs_on",
    "use_backend",
    "visibility_pool",
]
