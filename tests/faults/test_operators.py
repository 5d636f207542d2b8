"""Operations against wrong input: named and refused, or the plain formula's result."""

import numpy as np
import pytest
import torch
from operator_cases import MAKERS, run

from pointmcd import ops
from pointmcd.ops.dispatch import use_backend

P = torch.rand(2, 10, 3, generator=torch.Generator().manual_seed(0))
INDEX = torch.zeros(2, 10, 2, dtype=torch.int64)
MASKS = torch.ones(2, 10, dtype=torch.int32)
NORM = [torch.ones(4) for _ in range(4)]
META = torch.device("meta")


def test_random_cases():
    counts = run(150, seed=1)
    assert set(counts) == {*MAKERS, "refused"}


@pytest.mark.parametrize(
    "call",
    [
        lambda: ops.knn(P, 4, P.double()),
        lambda: ops.ball_query(P, P.double(), 0.5, 4),
        lambda: ops.ball_query(P.half(), P.bfloat16(), 0.5, 4),
        lambda: ops.interpolate(P.double(), P, P),
        lambda: ops.group(P, P.double(), INDEX),
    ],
)
def test_mixed_floats(call):
    with pytest.raises(ValueError, match=r"must have one dtype, got \w+ of torch\.\w+, \w+ of torch"):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: ops.knn(P, 4, P.to(META)),
        lambda: ops.ball_query(P.to(META), P, 0.5, 4),
        lambda: ops.interpolate(P, P, P.to(META)),
        lambda: ops.group(P, None, INDEX.to(META)),
        lambda: ops.visibility_pool(P, MASKS.to(META), 1),
        lambda: ops.batch_norm_act(torch.ones(6, 4), *NORM[:3], NORM[3].to(META), training=True),
        lambda: ops.linear_norm_pool(P, torch.ones(4, 3), *NORM, MASKS.to(META), 1, training=True),
        lambda: ops.linear_norm_pool(P, torch.ones(4, 3, device=META), *NORM, None, 0, training=True),
        lambda: ops.edge_conv(P, INDEX.to(META), torch.ones(4, 6), *NORM, training=True),
    ],
)
def test_mixed_devices(call):
    with pytest.raises(ValueError, match=r"must be on one device, got .*(on cpu.* on meta|on meta.* on cpu)"):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: ops.group(P, None, INDEX.int()),
        lambda: ops.visibility_pool(P, MASKS.long(), 1),
        lambda: ops.linear_norm_pool(P, torch.ones(4, 3), *NORM, MASKS.short(), 1, training=True),
        lambda: ops.edge_conv(P, INDEX.int(), torch.ones(4, 6), *NORM, training=True),
    ],
)
def test_integers_of_another_width(call):
    with pytest.raises(ValueError, match=r"must be torch.int(32|64), got torch.int(16|32|64)"):
        call()


@pytest.mark.parametrize("value", ["1", None, [1], torch.tensor(1.0), torch.tensor(1), True, 1 + 1j])
@pytest.mark.parametrize(
    "call",
    [
        lambda value: ops.knn(P, value),
        lambda value: ops.ball_query(P, P, 0.5, value),
        lambda value: ops.ball_query(P, P, value, 2),
        lambda value: ops.farthest_point_sample(P, value),
        lambda value: ops.interpolate(P, P, P, value),
        lambda value: ops.visibility_pool(P, MASKS, value),
        lambda value: ops.linear_norm_pool(P, torch.ones(4, 3), *NORM, MASKS, value, training=True),
    ],
)
def test_what_is_no_number(call, value):
    with pytest.raises(ValueError, match=r"must be (an integer|a number), got"):
        call(value)


def test_numpy_has_numbers_too():
    assert torch.equal(ops.knn(P, np.int64(3)), ops.knn(P, 3))
    assert torch.equal(ops.ball_query(P, P, np.float32(0.5), np.int32(2)), ops.ball_query(P, P, 0.5, 2))


@pytest.mark.parametrize("backend", ["torch", None])
def test_tensors_without_data(backend):
    """A shape is all that there is to be said of them, and nothing waits for their values."""
    with use_backend(backend):
        assert ops.knn(P.to(META), 4).shape == (2, 10, 4)
        assert ops.knn(torch.rand(2, 10, 64, device=META), 4).shape == (2, 10, 4)
        assert ops.ball_query(P.to(META), P.to(META), 0.5, 3).device == META
