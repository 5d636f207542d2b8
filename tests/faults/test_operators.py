"""Operations against wrong input: named and refused, or the plain formula's result."""

import pytest
import torch
from operator_cases import MAKERS, run

from pointmcd import ops

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
