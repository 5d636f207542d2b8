"""The hot operations, each with a torch form that runs anywhere and faster kernels where they are.

``backends()`` and ``python -m pointmcd.ops`` say what runs where; ``reference`` holds the plain formulas.

Every operation checks shape, dtype and device of each tensor (``ValueError``) and the range of each index
(``IndexError``; on CUDA the device's assertion). Any strides will do. On every backend:

* A distance that is not a number, as a NaN or an infinity among the coordinates makes it, counts as infinite:
  such points are the last neighbours, in no ball, of no weight, and not sampled.
* A maximum over values of which one is NaN is NaN; what a view does not see is not looked at.
* No clouds, no queries and no channels give empty results; a maximum over no points is refused.
"""

import os

from pointmcd.ops.batch_norm_act import batch_norm_act
from pointmcd.ops.depthwise import depthwise_conv
from pointmcd.ops.dispatch import available, backends, runs_on, use_backend
from pointmcd.ops.edge_conv import edge_conv
from pointmcd.ops.farthest_point_sample import farthest_point_sample
from pointmcd.ops.group import ball_query, group
from pointmcd.ops.interpolate import interpolate
from pointmcd.ops.knn import knn
from pointmcd.ops.linear_norm_pool import linear_norm_pool
from pointmcd.ops.norm import Norm
from pointmcd.ops.norm_act_linear import norm_act_linear
from pointmcd.ops.products import has_bfloat16, linear, takes_bfloat16, without_autocast
from pointmcd.ops.visibility_pool import visibility_pool

# torch then asks Linux for huge pages for large CPU tensors: page faults were a quarter of a PointNet++ step.
# It looks at the first allocation, and never again.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

__all__ = [
    "Norm",
    "available",
    "backends",
    "ball_query",
    "batch_norm_act",
    "depthwise_conv",
    "edge_conv",
    "farthest_point_sample",
    "group",
    "has_bfloat16",
    "interpolate",
    "knn",
    "linear",
    "linear_norm_pool",
    "norm_act_linear",
    "runs_on",
    "takes_bfloat16",
    "use_backend",
    "visibility_pool",
    "without_autocast",
]
