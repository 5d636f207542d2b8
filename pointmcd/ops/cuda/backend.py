"""The pycuda backend, as the dispatcher loads it; ``ImportError`` says what it lacks."""

from . import device

device.check()

from .device import describe  # noqa: E402, F401
from .kernels import (  # noqa: E402, F401
    affine_act,
    affine_act_backward,
    affine_act_sums,
    ball_query,
    channel_sums,
    edge_max,
    edge_max_backward,
    farthest_point_sample,
    group,
    group_backward,
    knn,
    nearest_weights,
    pool_scatter,
    visibility_pool,
    visibility_pool_backward,
    weighted_sum,
    weighted_sum_backward,
)
