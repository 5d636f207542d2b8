"""Every operation on every backend that is here, against the formulas of ``ops.reference`` in float64."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from pointmcd import ops
from pointmcd.ops import reference

B, N, M, C, O, V, K = 3, 37, 11, 5, 21, 6, 4  # noqa: E741 - shape letters of the project


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def randint(high: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(seed))


def masks(views: int, *shape: int) -> Tensor:
    """Random masks; the first cloud's view 1 sees nothing and its view 2 everything."""
    visibility = randint(2**views, *shape, seed=3).to(torch.int64)
    visibility[0] = visibility[0] & ~2 | 4
    return visibility.to(torch.int32)


def norm(channels: int) -> dict[str, Tensor]:
    """Parameters with scales of both signs, and running statistics."""
    return {
        "weight": randn(channels, seed=5),
        "bias": randn(channels, seed=6),
        "running_mean": randn(channels, seed=7),
        "running_var": randn(channels, seed=8).square() + 0.5,
    }


def named(prefix: str, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + k if k in ("weight", "bias") else k: v for k, v in parameters.items()}


# Differentiable operations: name -> (arguments, those that take a gradient).
CASES: dict[str, tuple[Callable[[], dict[str, Any]], list[str]]] = {}
for with_global in (False, True):
    CASES[f"visibility_pool-{with_global}"] = (
        lambda g=with_global: {
            "feats": randn(B, M, C),
            "visibility": masks(V, B, M),
            "num_views": V,
            "with_global": g,
        },
        ["feats"],
    )
for training in (True, False):
    for slope, most in ((0.0, None), (0.2, None), (1.0, None), (0.0, 1.5), (0.2, 1.5)):
        CASES[f"batch_norm_act-{training}-{slope}" + ("" if most is None else "-capped")] = (
            lambda t=training, s=slope, m=most: {
                "x": randn(B, N, O) * 3 + 1,
                **norm(O),
                "training": t,
                "negative_slope": s,
                **({} if m is None else {"ceiling": m}),
            },
            ["x", "weight", "bias"],
        )
    for slope in (0.0, 0.2):
        CASES[f"linear_norm_pool-{training}-{slope}"] = (
            lambda t=training, s=slope: {
                "x": randn(B, M, C) + 0.5,
                "weight": randn(O, C, seed=1),
                **named("norm_", norm(O)),
                "visibility": masks(V, B, M),
                "num_views": V,
                "training": t,
                "negative_slope": s,
            },
            ["x", "weight", "norm_weight", "norm_bias"],
        )
    CASES[f"edge_conv-{training}"] = (
        lambda t=training: {
            "x": randn(B, N, C) + 2,
            "neighbors": randint(N, B, N, K),
            "weight": randn(O, 2 * C, seed=1),
            **named("norm_", norm(O)),
            "training": t,
        },
        ["x", "weight", "norm_weight", "norm_bias"],
    )
    CASES[f"norm_act_linear-{training}"] = (
        lambda t=training: {
            "x": randn(B, N, C) * 3 + 1,
            "weight": randn(O, C, seed=1),
            **named("norm_", norm(C)),
            "training": t,
            "negative_slope": 0.2,
        },
        ["x", "weight", "norm_weight", "norm_bias"],
    )
    CASES[f"pool_after_norm-{training}"] = (
        lambda t=training: {
            "x": randn(B, M, C) * 3 + 1,
            **{f"before_{name}": value for name, value in norm(C).items()},
            "weight": randn(O, C, seed=1),
            **named("norm_", norm(O)),
            "visibility": masks(V, B, M),
            "num_views": V,
            "training": t,
        },
        ["x", "weight", "norm_weight", "norm_bias", "before_weight", "before_bias"],
    )
CASES["linear_norm_pool-global"] = (
    lambda: {
        "x": randn(B, M, C),
        "weight": randn(O, C, seed=1),
        **named("norm_", norm(O)),
        "visibility": None,
        "num_views": 0,
        "training": True,
        "negative_slope": 0.2,
    },
    ["x", "weight", "norm_weight", "norm_bias"],
)
for side, stride, padding in ((3, (1, 1), (1, 1)), (3, (2, 3), (0, 1)), (5, (2, 1), (2, 3))):
    CASES[f"depthwise_conv-{side}x{stride[0]}"] = (
        lambda k=side, s=stride, p=padding: {
            "x": randn(B, 7, 10, O),
            "weight": randn(O, 1, k, k, seed=1),
            "stride": s,
            "padding": p,
        },
        ["x", "weight"],
    )
CASES["group"] = (
    lambda: {
        "per_point": randn(B, N, C),
        "per_center": randn(B, M, C, seed=1),
        "index": randint(N, B, M, K),
    },
    ["per_point", "per_center"],
)
CASES["group-no_centers"] = (
    lambda: {"per_point": randn(B, N, C), "per_center": None, "index": randint(N, B, M, K)},
    ["per_point"],
)
CASES["interpolate"] = (
    lambda: {"queries": randn(B, N, 3), "points": randn(B, M, 3, seed=1), "feats": randn(B, M, C, seed=2)},
    ["feats"],
)


def operation(module: Any, case: str) -> Callable[..., Tensor]:
    """The function of a case in ``ops`` or in ``ops.reference``."""
    name = case.partition("-")[0]
    return partial(pool_after_norm, module) if name == "pool_after_norm" else getattr(module, name)


def pool_after_norm(module: Any, training: bool, **arguments: Any) -> Tensor:
    names = ("weight", "bias", "running_mean", "running_var")
    before = ops.Norm(*(arguments.pop(f"before_{name}") for name in names), training, 0.1, 1e-5, 0.2)
    return module.linear_norm_pool(**arguments, training=training, before=before)


def run(
    module: Any, case: str, device: str, dtype: torch.dtype, change: Callable[[Tensor], Tensor] = lambda t: t
) -> dict[str, Tensor]:
    """Output, gradients and running statistics of one case, on the CPU in float64."""
    make, differentiable = CASES[case]
    arguments = make()
    for name, value in arguments.items():
        if isinstance(value, Tensor):
            value = value.to(device=device, dtype=dtype if value.is_floating_point() else value.dtype)
            arguments[name] = change(value) if name in differentiable else value
    leaves = {name: arguments[name].detach().requires_grad_() for name in differentiable}
    out = operation(module, case)(**arguments | leaves)
    gradients = torch.autograd.grad(out, list(leaves.values()), randn(*out.shape, seed=9).to(out))
    results = {"out": out, **{f"d{name}": g for name, g in zip(leaves, gradients, strict=True)}}
    results |= {name: value for name, value in arguments.items() if "running_" in name}
    values = ((name, value.detach().double()) for name, value in results.items())
    return {name: value if device == "meta" else value.cpu() for name, value in values}


@pytest.mark.parametrize("case", CASES)
def test_matches_the_formula_in_float64(device, case):
    expected = run(reference, case, "cpu", torch.float64)
    for name, value in run(ops, case, device, torch.float64).items():
        torch.testing.assert_close(
            value, expected[name], rtol=1e-9, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("case", [c for c in CASES if c.startswith(("linear_norm_pool-True", "pool_after"))])
def test_wide_layers_match_it_too(device, case, monkeypatch):
    """Of these, three quarters of a symmetric matrix are computed."""
    monkeypatch.setattr(sys.modules["pointmcd.ops.linear_norm_pool"], "SYMMETRIC_FROM", 2)
    test_matches_the_formula_in_float64(device, case)


@pytest.mark.parametrize("case", CASES)
def test_float32_is_as_accurate_as_the_formula(device, case):
    exact = run(reference, case, "cpu", torch.float64)
    plain = run(reference, case, "cpu", torch.float32)
    for name, value in run(ops, case, device, torch.float32).items():
        error, plain_error = (value - exact[name]).norm(), (plain[name] - exact[name]).norm()
        assert error <= 1.5 * plain_error + 2**-24 * exact[name].norm(), name


@pytest.mark.parametrize("case", CASES)
def test_non_contiguous_input(device, case):
    def strided(value: Tensor) -> Tensor:
        return torch.stack([value, -value], -1)[..., 0]

    expected = run(ops, case, device, torch.float64)
    for name, value in run(ops, case, device, torch.float64, strided).items():
        torch.testing.assert_close(value, expected[name], msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("case", CASES)
def test_gradcheck(device, case):
    make, differentiable = CASES[case]
    arguments = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in make().items()}
    leaves = [arguments[name].detach().requires_grad_() for name in differentiable]

    def function(*values: Tensor) -> Tensor:
        fresh = {k: v.clone() if isinstance(v, Tensor) else v for k, v in arguments.items()}
        return operation(ops, case)(**fresh | dict(zip(differentiable, values, strict=True)))

    assert torch.autograd.gradcheck(function, leaves, fast_mode=True)


@pytest.mark.parametrize("case", CASES)
def test_empty_batch(device, case):
    make, differentiable = CASES[case]
    arguments = make()
    if arguments.get("training"):
        pytest.skip("batch statistics of nothing: test_errors")
    batched = {
        "feats",
        "visibility",
        "x",
        "neighbors",
        "per_point",
        "per_center",
        "index",
        "queries",
        "points",
    }
    for name, value in arguments.items():
        if isinstance(value, Tensor):
            arguments[name] = (value[:0] if name in batched else value).to(device)
    leaves = {name: arguments[name].detach().requires_grad_() for name in differentiable}
    out = operation(ops, case)(**arguments | leaves)
    gradients = torch.autograd.grad(out.sum(), list(leaves.values()))
    assert out.shape[0] == 0
    assert all(not g.any() for g in gradients)


def test_a_group_may_be_changed_in_place(device):
    """As set abstraction does, which adds a product to it."""
    points = randn(B, N, C).to(device).requires_grad_()
    index = torch.arange(12).view(1, 4, 3).repeat(B, 1, 1).to(device)
    members = ops.group(points, None, index)
    members.flatten(0, 2).mul_(2)
    members.sum().backward()
    expected = torch.zeros_like(points)
    expected[:, :12] = 2
    assert torch.equal(points.grad, expected)


@pytest.mark.parametrize("case", CASES)
def test_meta_tensors_have_the_right_shapes(case):
    results = run(ops, case, "cpu", torch.float32), run(ops, case, "meta", torch.float32)
    for real, meta in zip(*(found.values() for found in results), strict=True):
        assert real.shape == meta.shape


@pytest.mark.parametrize("case", [c for c in CASES if not c.endswith(("-0.2", "-1.0", "-global"))])
def test_compiles_without_a_break(case):
    torch._dynamo.reset()
    make, differentiable = CASES[case]
    arguments = make()
    leaves = {name: arguments.pop(name).requires_grad_() for name in differentiable}
    running = {k: arguments.pop(k) for k in list(arguments) if "running_" in k}

    def function(leaves, running):
        return operation(ops, case)(**arguments, **leaves, **running)

    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    results = []
    for call in (function, compiled):
        state = {k: v.clone() for k, v in running.items()}
        out = call(leaves, state)
        results.append(
            [out, *torch.autograd.grad(out.square().sum(), list(leaves.values())), *state.values()]
        )
    torch.testing.assert_close(results[1], results[0])
