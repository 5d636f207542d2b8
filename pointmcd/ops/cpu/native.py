"""The C++ kernels, bound by ctypes: a function for each kernel of ``pointmcd.ops`` that they have.

Importing fails with ``ImportError`` where they were not built. Arguments are those of the torch forms beside
each operation; other dtypes than float32 and float64 do not come here (``checks.computable``).
"""

import ctypes
import functools
import importlib.machinery
import math
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pointmcd.ops.checks import wide
from pointmcd.ops.rows import check_range

_INSTRUCTION_SETS = {"AVX512": "avx512", "AVX2": "avx2"}
_SUFFIX = {torch.float32: "f32", torch.float64: "f64", torch.bfloat16: "bf16"}  # the last of few kernels
_ARGUMENT = {
    Tensor: ctypes.c_void_p,
    int: ctypes.c_int64,
    float: ctypes.c_double,
    type(None): ctypes.c_void_p,
}


def _load() -> tuple[ctypes.CDLL, str]:
    best = _INSTRUCTION_SETS.get(torch.backends.cpu.get_cpu_capability(), "default")
    for name in dict.fromkeys([best, "default"]):
        for suffix in importlib.machinery.EXTENSION_SUFFIXES:
            path = Path(__file__).with_name(f"kernels_{name}{suffix}")
            if path.exists():
                return ctypes.CDLL(str(path)), name
    raise ImportError(
        "the C++ kernels were not built; with a C++ compiler (g++ or clang++ with OpenMP) at hand, "
        "`pip install --force-reinstall --no-deps .` in the source folder builds them"
    )


_LIBRARY, _NAME = _load()
_forked = False


def _mark_forked() -> None:
    global _forked
    _forked = True


# A child of fork() has none of its parent's OpenMP threads, and libgomp does not notice.
os.register_at_fork(after_in_child=_mark_forked)


def describe() -> str:
    """Return the instruction set of the loaded library and the number of threads."""
    return f"{_NAME} kernels, {_threads()} thread(s)"


def _threads() -> int:
    return 1 if _forked else torch.get_num_threads()


@functools.cache
def _function(name: str, dtype: torch.dtype, *kinds: type) -> Any:
    address = ctypes.c_size_t.in_dll(_LIBRARY, f"pointmcd_{name}_{_SUFFIX[dtype]}").value
    return ctypes.CFUNCTYPE(None, *(_ARGUMENT[kind] for kind in kinds), ctypes.c_int64)(address)


def _call(name: str, dtype: torch.dtype, *args: Tensor | int | float | None) -> None:
    function = _function(name, dtype, *map(type, args))
    function(*(_pointer(a) if isinstance(a, Tensor) else a for a in args), _threads())


def _pointer(tensor: Tensor) -> int:
    """Return where the numbers are that a kernel takes to be dense: a last guard against foreign memory."""
    if tensor.device.type != "cpu" or not tensor.is_contiguous():
        raise RuntimeError(f"a C++ kernel got a tensor on {tensor.device} of strides {tensor.stride()}")
    return tensor.data_ptr()


def visibility_pool(feats: Tensor, visibility: Tensor, num_views: int, floored: int) -> tuple[Tensor, Tensor]:
    batch, points, channels = feats.shape
    feats, visibility = feats.contiguous(), visibility.contiguous()
    if num_views < 32:
        visibility = visibility & ((1 << num_views) - 1)  # the kernel takes every bit for a view
    out = feats.new_empty(batch, num_views, channels)
    argmax = torch.empty_like(out, dtype=torch.int32)
    sizes = (batch, points, channels, num_views, floored)
    _call("visibility_pool", feats.dtype, feats, visibility, out, argmax, *sizes)
    return out, argmax


def visibility_pool_backward(grad: Tensor, argmax: Tensor, num_points: int) -> Tensor:
    batch, views, channels = grad.shape
    grad, argmax = grad.contiguous(), argmax.contiguous()
    out = grad.new_zeros(batch, num_points, channels)
    _call("visibility_pool_backward", grad.dtype, grad, argmax, out, batch, num_points, channels, views)
    return out


def pool_scatter(
    dx: Tensor, dweight: Tensor, grad: Tensor, argmax: Tensor, x: Tensor, weight: Tensor
) -> None:
    (batch, points, features), (_, views, channels) = x.shape, grad.shape
    inputs = (grad.contiguous(), argmax.contiguous(), x.contiguous(), weight.contiguous())
    _call("pool_scatter", x.dtype, *inputs, dx, dweight, batch, points, features, channels, views)


def channel_sums(x: Tensor) -> Tensor:
    x = x.contiguous()
    sums = x.new_empty(2, x.shape[1], dtype=torch.float64)
    _call("channel_sums", x.dtype, x, sums, *x.shape)
    return sums


def affine_act(
    x: Tensor, scale: Tensor, shift: Tensor, negative_slope: float, ceiling: float | None = None
) -> Tensor:
    x = x.contiguous()
    y = torch.empty_like(x)
    _call("affine_act", x.dtype, x, scale, shift, y, negative_slope, _reached(ceiling), *x.shape)
    return y


def affine_act_sums(
    grad: Tensor,
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    negative_slope: float,
    ceiling: float | None = None,
) -> Tensor:
    grad, x = grad.contiguous(), x.contiguous()
    sums = x.new_empty(2, x.shape[1], dtype=torch.float64)
    act = (negative_slope, _reached(ceiling))
    _call("affine_act_sums", x.dtype, grad, x, scale, shift, sums, *act, *x.shape)
    return sums


def affine_act_backward(
    grad: Tensor,
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    negative_slope: float,
    slope: Tensor,
    offset: Tensor,
    ceiling: float | None = None,
) -> Tensor:
    grad, x = grad.contiguous(), x.contiguous()
    dx = torch.empty_like(x)
    act = (negative_slope, _reached(ceiling))
    _call("affine_act_backward", x.dtype, grad, x, scale, shift, slope, offset, dx, *act, *x.shape)
    return dx


def _reached(ceiling: float | None) -> float:
    """Return a number that kernels compare with: nothing reaches a NaN."""
    return math.nan if ceiling is None else float(ceiling)


def finish_norm_act_(
    grad: Tensor,
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    negative_slope: float,
    slope: Tensor,
    offset: Tensor,
) -> None:
    affine = (scale, shift, slope, offset)
    act = (negative_slope, _reached(None))
    _call("affine_act_backward", x.dtype, grad, x.contiguous(), *affine, grad, *act, *x.shape)


def depthwise_backward(
    grad: Tensor, x: Tensor, weight: Tensor, stride: list[int], padding: list[int]
) -> tuple[Tensor, Tensor]:
    (batch, height, width, channels), kernel = x.shape, weight.shape[-1]
    grad, x = grad.contiguous(), x.contiguous()
    taps = weight.to(wide(x.dtype)).view(channels, kernel * kernel).T.contiguous()
    dx = torch.empty_like(x)
    dtaps = torch.empty_like(taps, dtype=torch.float64)
    sizes = (batch, height, width, *grad.shape[1:3], channels, kernel)
    _call("depthwise_backward", x.dtype, grad, x, taps, dx, dtaps, *sizes, *stride, *padding)
    return dx, dtaps.to(weight.dtype).T.contiguous().view(weight.shape)


def edge_max(pq: Tensor, neighbors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    (batch, points, k), channels = neighbors.shape, pq.shape[2] // 2
    pq, neighbors = pq.contiguous(), neighbors.contiguous()
    check_range("neighbors", neighbors, points)
    extremum = pq.new_empty(batch, points, channels)
    argmax = torch.empty_like(extremum, dtype=torch.int32)
    sums = pq.new_zeros(2, channels, dtype=torch.float64)
    if neighbors.numel() == 0:
        return extremum, argmax, sums
    _call("edge_max", pq.dtype, pq, neighbors, extremum, argmax, sums, batch, points, k, channels)
    return extremum, argmax, sums


def edge_max_backward(
    grad: Tensor,
    pq: Tensor,
    neighbors: Tensor,
    extremum: Tensor,
    argmax: Tensor,
    affine: Tensor,
    negative_slope: float,
) -> Tensor:
    (batch, points, k), channels = neighbors.shape, pq.shape[2] // 2
    grad, pq, neighbors = grad.contiguous(), pq.contiguous(), neighbors.contiguous()
    dpq = torch.empty_like(pq)
    inputs = (grad, pq, neighbors, extremum.contiguous(), argmax.contiguous(), affine.contiguous())
    _call("edge_max_backward", pq.dtype, *inputs, dpq, negative_slope, batch, points, k, channels)
    return dpq


def knn(points: Tensor, queries: Tensor, k: int) -> Tensor:
    index = queries.new_empty(*queries.shape[:2], k, dtype=torch.int64)
    _knn(points, queries, k, index, None)
    return index


def _knn(points: Tensor, queries: Tensor, k: int, index: Tensor, distance: Tensor | None) -> None:
    points, queries = points.contiguous(), queries.contiguous()
    sizes = (len(points), points.shape[1], queries.shape[1], points.shape[2])
    _call("knn", points.dtype, points, queries, index, distance, *sizes, k)


def nearest_weights(points: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    weight = queries.new_empty(*queries.shape[:2], k)
    index = torch.empty_like(weight, dtype=torch.int64)
    _knn(points, queries, k, index, weight)
    weight.add_(1e-8).reciprocal_()
    return index, weight.div_(weight.sum(-1, keepdim=True))


def farthest_point_sample(points: Tensor, count: int) -> Tensor:
    points = points.contiguous()
    chosen = points.new_empty(len(points), count, dtype=torch.int64)
    _call("farthest_point_sample", points.dtype, points, chosen, len(points), points.shape[1], count)
    return chosen


def ball_query(points: Tensor, centers: Tensor, radius: float, k: int) -> Tensor:
    points, centers = points.contiguous(), centers.contiguous()
    index = centers.new_empty(*centers.shape[:2], k, dtype=torch.int64)
    sizes = (len(points), points.shape[1], centers.shape[1], k)
    _call("ball_query", points.dtype, points, centers, index, float(radius), *sizes)
    return index


def group(per_point: Tensor, per_center: Tensor, index: Tensor) -> Tensor:
    (batch, centers, k), (_, points, channels) = index.shape, per_point.shape
    per_point, per_center, index = per_point.contiguous(), per_center.contiguous(), index.contiguous()
    check_range("index", index, points)
    out = per_point.new_empty(batch, centers, k, channels)
    _call("group", out.dtype, per_point, per_center, index, out, batch, points, centers, k, channels)
    return out


def group_backward(grad: Tensor, index: Tensor, num_points: int) -> tuple[Tensor, Tensor]:
    batch, centers, k, channels = grad.shape
    grad, index = grad.contiguous(), index.contiguous()
    dpoint, dcenter = grad.new_zeros(batch, num_points, channels), grad.new_empty(batch, centers, channels)
    sizes = (batch, num_points, centers, k, channels)
    _call("group_backward", grad.dtype, grad, index, dpoint, dcenter, *sizes)
    return dpoint, dcenter


def weighted_sum(feats: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    (batch, queries, k), (_, points, channels) = index.shape, feats.shape
    feats, index, weight = feats.contiguous(), index.contiguous(), weight.contiguous()
    out = feats.new_empty(batch, queries, channels)
    _call("weighted_sum", out.dtype, feats, index, weight, out, batch, points, queries, k, channels)
    return out


def weighted_sum_backward(grad: Tensor, index: Tensor, weight: Tensor, num_points: int) -> Tensor:
    (batch, queries, k), channels = index.shape, grad.shape[2]
    grad, index, weight = grad.contiguous(), index.contiguous(), weight.contiguous()
    out = grad.new_zeros(batch, num_points, channels)
    sizes = (batch, num_points, queries, k, channels)
    _call("weighted_sum_backward", out.dtype, grad, index, weight, out, *sizes)
    return out
