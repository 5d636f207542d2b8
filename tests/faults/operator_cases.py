"""Random cases of every operation: each CPU backend against the plain formulas, and what must be refused.

``run(cases, seed)`` raises ``AssertionError`` with the case at the first difference. Sizes include 0, tensors
are strided, expanded and transposed, some coordinates and features are NaN or infinite, any set of arguments
takes a gradient, and threads outnumber the clouds. ``python tests/faults/operator_cases.py 3000`` runs many.
"""

import inspect
import random
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pointmcd import ops
from pointmcd.ops import reference

Arguments = dict[str, Any]
ONE_DTYPE = {  # the others take any mixture of floats
    "knn": ("points", "queries"),
    "ball_query": ("points", "centers"),
    "interpolate": ("queries", "points"),
    "group": ("per_point", "per_center"),
}


class Draw:
    """Random sizes and tensors of one case."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.torch = torch.Generator().manual_seed(self.random.getrandbits(32))
        self.dtype = self.random.choice([torch.float32, torch.float64])

    def size(self, low: int, high: int) -> int:
        return low if self.chance(0.1) else self.random.randint(low, high)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def floats(self, *shape: int, odd: tuple[float, ...] = ()) -> Tensor:
        values = torch.randn(*shape, generator=self.torch, dtype=self.dtype)
        if odd and values.numel() and self.chance(0.3):
            flat = values.view(-1)
            for _ in range(self.random.randint(1, 3)):
                flat[self.random.randrange(len(flat))] = self.random.choice(odd)
        return self.layout(values)

    def index(self, high: int, *shape: int) -> Tensor:
        return self.layout(torch.randint(max(high, 1), shape, generator=self.torch))

    def layout(self, values: Tensor) -> Tensor:
        """The same numbers, stored in another way."""
        way = self.random.randrange(5)
        if way == 0 and values.dim() > 1:
            return values.transpose(0, -1).contiguous().transpose(0, -1)
        if way == 1:
            return torch.stack([values, values], -1)[..., 0]
        if way == 2 and values.dim() > 1 and len(values):
            return values[:1].expand(values.shape)
        if way == 3 and values.is_floating_point():
            return torch._neg_view(-values)
        return values


COORDINATES = (torch.nan, torch.inf, -torch.inf)


def knn(draw: Draw) -> Arguments:
    batch, points, queries = draw.size(0, 3), draw.size(1, 60), draw.size(0, 20)
    channels = draw.random.choice([1, 3, 8, 9, 17])
    cloud = draw.floats(batch, points, channels, odd=COORDINATES)
    asked = draw.floats(batch, queries, channels, odd=COORDINATES) if draw.chance(0.5) else None
    return {"points": cloud, "k": draw.random.randint(1, points), "queries": asked}


def farthest_point_sample(draw: Draw) -> Arguments:
    batch, points = draw.size(0, 3), draw.size(1, 60) if draw.chance(0.95) else 4200
    cloud = draw.floats(batch, points, 3, odd=COORDINATES)
    return {"points": cloud, "count": draw.random.randint(1, min(points, 60))}


def ball_query(draw: Draw) -> Arguments:
    batch, points, centers = draw.size(0, 3), draw.size(1, 60), draw.size(0, 20)
    return {
        "points": draw.floats(batch, points, 3, odd=COORDINATES),
        "centers": draw.floats(batch, centers, 3, odd=COORDINATES),
        "radius": draw.random.choice([0.0, 0.5, 1.5, 1e6]),
        "k": draw.random.randint(1, 2 * points),
    }


def interpolate(draw: Draw) -> Arguments:
    batch, points, queries = draw.size(0, 3), draw.size(1, 30), draw.size(0, 20)
    return {
        "queries": draw.floats(batch, queries, 3, odd=COORDINATES),
        "points": draw.floats(batch, points, 3, odd=COORDINATES),
        "feats": draw.floats(batch, points, draw.size(0, 20)),
        "k": draw.random.randint(1, 5),
    }


def group(draw: Draw) -> Arguments:
    batch, points, centers, channels = draw.size(0, 3), draw.size(1, 30), draw.size(0, 9), draw.size(0, 20)
    return {
        "per_point": draw.floats(batch, points, channels, odd=(torch.nan,)),
        "per_center": draw.floats(batch, centers, channels) if draw.chance(0.5) else None,
        "index": draw.index(points, batch, centers, draw.size(0, 5)),
    }


def visibility_pool(draw: Draw) -> Arguments:
    batch, points, views = draw.size(0, 3), draw.size(1, 150), draw.size(0, 31)
    return {
        "feats": draw.floats(batch, points, draw.size(0, 40), odd=COORDINATES),
        "visibility": draw.index(2**31, batch, points).int(),
        "num_views": views,
        "with_global": draw.chance(0.5),
    }


def _norm(draw: Draw, channels: int, rows: int, prefix: str = "") -> Arguments:
    return {
        f"{prefix}weight": draw.floats(channels),
        f"{prefix}bias": draw.floats(channels),
        "running_mean": draw.floats(channels),
        "running_var": draw.floats(channels).square() + 0.5,
        "training": rows > 8 and draw.chance(0.5),
        "negative_slope": draw.random.choice([0.0, 0.2, 1.0]),
    }


def _odd_rows(training: bool, draw: Draw, *shape: int) -> Tensor:
    return draw.floats(*shape, odd=() if training else (torch.nan,))


def batch_norm_act(draw: Draw) -> Arguments:
    shape = [draw.size(0, 7) for _ in range(draw.random.randint(0, 2))] + [draw.size(0, 20)]
    rows = torch.Size(shape[:-1]).numel()
    norm = _norm(draw, shape[-1], rows)
    return {"x": _odd_rows(norm["training"], draw, *shape), **norm}


def linear_norm_pool(draw: Draw) -> Arguments:
    batch, points, inputs, outputs = draw.size(0, 3), draw.size(1, 40), draw.size(1, 9), draw.size(0, 20)
    norm = _norm(draw, outputs, batch * points, "norm_")
    views = draw.size(0, 12) if draw.chance(0.8) else None
    return {
        "x": _odd_rows(norm["training"], draw, batch, points, inputs),
        "weight": draw.floats(outputs, inputs),
        "visibility": None if views is None else draw.index(2**12, batch, points).int(),
        "num_views": views or 0,
        **norm,
    }


def edge_conv(draw: Draw) -> Arguments:
    batch, points, inputs, outputs = draw.size(0, 3), draw.size(0, 30), draw.size(1, 9), draw.size(0, 70)
    k = draw.random.randint(1, 6)
    norm = _norm(draw, outputs, batch * points * k, "norm_")
    return {
        "x": _odd_rows(norm["training"], draw, batch, points, inputs),
        "neighbors": draw.index(points, batch, points, k),
        "weight": draw.floats(outputs, 2 * inputs),
        **norm,
    }


MAKERS: dict[str, Callable[[Draw], Arguments]] = {
    make.__name__: make
    for make in (knn, farthest_point_sample, ball_query, interpolate, group, visibility_pool, batch_norm_act)
} | {"linear_norm_pool": linear_norm_pool, "edge_conv": edge_conv}


def run(cases: int, seed: int = 0) -> Counter[str]:
    """Try ``cases`` random cases; gives how many there were of each operation, and how many were refused."""
    counts: Counter[str] = Counter()
    threads = torch.get_num_threads()
    try:
        for number in range(cases):
            draw = Draw(f"{seed}-{number}")
            name = draw.random.choice(list(MAKERS))
            arguments = MAKERS[name](draw)
            torch.set_num_threads(draw.random.randint(1, 3))
            for backend in ops.available("cpu"):
                where = f"case {number} of seed {seed}: {name} on {backend}, {_said(arguments)}"
                with ops.use_backend(backend):
                    try:
                        counts["refused"] += _check_refusal(name, arguments, Draw(f"{seed}-{number}-refused"))
                        CHECKS.get(name, _check_values)(name, arguments, Draw(f"{seed}-{number}-check"))
                    except Exception as error:
                        raise AssertionError(where) from error
                counts[name] += 1
    finally:
        torch.set_num_threads(threads)
    return counts


def _said(arguments: Arguments) -> str:
    def said(value: Any) -> str:
        if not isinstance(value, Tensor):
            return str(value)
        finite = "" if not value.is_floating_point() or bool(value.isfinite().all()) else " not finite"
        return f"{value.dtype} {tuple(value.shape)} strides {value.stride()}{finite}"

    return ", ".join(f"{name}: {said(value)}" for name, value in arguments.items())


def _check_refusal(name: str, arguments: Arguments, draw: Draw) -> int:
    """Spoil one tensor: another device, width or rank must be a ``ValueError`` that names it."""
    tensors = [key for key, value in arguments.items() if isinstance(value, Tensor)]
    key = draw.random.choice(tensors)
    value = arguments[key]
    ways = {"rank": value[None], "kind": value.long() if value.is_floating_point() else value.short()}
    if len(tensors) > 1:
        ways["device"] = value.to("meta")
    if key in ONE_DTYPE.get(name, ()) and all(arguments[other] is not None for other in ONE_DTYPE[name]):
        ways["width"] = value.to(torch.float64 if value.dtype == torch.float32 else torch.float32)
    if name == "batch_norm_act" and key == "x":
        del ways["rank"]
    spoiled = arguments | {key: ways[draw.random.choice(list(ways))]}
    try:
        getattr(ops, name)(**_fresh(spoiled))
    except ValueError as error:
        if key in str(error) or "shape" in str(error):
            return 1
        raise
    raise AssertionError(
        f"{key} {spoiled[key].dtype} {spoiled[key].shape} on {spoiled[key].device} was taken"
    )


def _fresh(arguments: Arguments) -> Arguments:
    """Running statistics are written to."""
    return {
        key: value.clone() if key.startswith("running") and isinstance(value, Tensor) else value
        for key, value in arguments.items()
    }


def _wide(arguments: Arguments) -> Arguments:
    return {
        key: value.double() if isinstance(value, Tensor) and value.is_floating_point() else value
        for key, value in arguments.items()
    }


def _check_neighbors(name: str, arguments: Arguments, draw: Draw) -> None:
    index = ops.knn(**arguments)
    points, k = arguments["points"], arguments["k"]
    queries = points if arguments["queries"] is None else arguments["queries"]
    assert index.shape == (*queries.shape[:2], k)
    assert index.dtype == torch.int64
    distance = reference.square_distance(queries.double(), points.double())
    expected = distance.sort(-1).values[..., :k]
    found = distance.gather(-1, index)
    assert (index.sort(-1).values.diff() > 0).all(), "a point twice"
    tolerance = 1e-12 if points.dtype == torch.float64 else 1e-5
    torch.testing.assert_close(found.sort(-1).values, expected, rtol=tolerance, atol=tolerance)


def _check_indices(name: str, arguments: Arguments, draw: Draw) -> None:
    assert torch.equal(getattr(ops, name)(**arguments), getattr(reference, name)(**arguments))


def _check_values(name: str, arguments: Arguments, draw: Draw) -> None:
    """Output, gradients of a random set of arguments, and running statistics."""
    learned = [k for k, v in arguments.items() if isinstance(v, Tensor) and v.is_floating_point()]
    learned = [k for k in learned if not k.startswith("running") and draw.chance(0.7)]
    if name == "interpolate":
        learned = [k for k in learned if k == "feats"]
    finite = all(v.isfinite().all() for v in arguments.values() if isinstance(v, Tensor))
    ours = _results(ops, name, arguments, learned if finite else [], draw.random.getrandbits(32))
    plain = _wide(arguments)
    theirs = _results(reference, name, plain, learned if finite else [], draw.random.getrandbits(32), ours)
    for key, value in ours.items():
        expected = theirs[key]
        assert value.dtype == draw_dtype(arguments)
        size = float(expected[expected.isfinite()].abs().max()) if expected.isfinite().any() else 1.0
        tolerance = 1e-9 if value.dtype == torch.float64 else 2e-3
        torch.testing.assert_close(
            value.double(),
            expected,
            rtol=tolerance,
            atol=tolerance * max(size, 1),
            equal_nan=True,
            msg=lambda m, k=key: f"{k}: {m}",
        )


def draw_dtype(arguments: Arguments) -> torch.dtype:
    return next(v.dtype for v in arguments.values() if isinstance(v, Tensor) and v.is_floating_point())


def _results(
    module: Any, name: str, arguments: Arguments, learned: list[str], seed: int, like: Arguments | None = None
) -> dict[str, Tensor]:
    arguments = _fresh(arguments)
    function = getattr(module, name)
    known = inspect.signature(function).parameters
    leaves = {key: arguments[key].detach().requires_grad_() for key in learned}
    out = function(**{key: value for key, value in (arguments | leaves).items() if key in known})
    results = {"out": out.detach()}
    if leaves:
        grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        grad = (
            grad.transpose(0, -1).contiguous().transpose(0, -1).to(out.dtype)
        )  # of strides unlike the output's
        gradients = torch.autograd.grad(out, list(leaves.values()), grad, allow_unused=True)
        for key, gradient in zip(leaves, gradients, strict=True):
            results[f"d{key}"] = torch.zeros_like(arguments[key]) if gradient is None else gradient
    results |= {key: value for key, value in arguments.items() if key.startswith("running")}
    return results


CHECKS: dict[str, Callable[[str, Arguments, Draw], None]] = {
    "knn": _check_neighbors,
    "farthest_point_sample": _check_indices,
    "ball_query": _check_indices,
}

if __name__ == "__main__":
    print(dict(run(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)))
