"""The CUDA kernels without a GPU: run on the host, thread by thread, through the tests of every backend."""

import functools

import cuda_host
import pytest
import test_kernels
import torch
from test_indices import (  # noqa: F401
    test_ball_query,
    test_farthest_points_are_those_of_the_formula,
    test_interpolation_at_the_points_gives_their_features,
    test_nearest_neighbours_in_feature_space,
    test_nearest_neighbours_in_space,
    test_neighbours_of_equal_features,
    test_neighbours_that_are_nowhere_come_last,
    test_points_that_are_nowhere_are_not_sampled_nor_grouped,
)
from test_kernels import (  # noqa: F401
    test_32_views_fill_the_mask,
    test_beyond_2_to_the_31_elements,
    test_hidden_points_and_ties_of_visibility_pooling,
    test_no_points,
    test_not_a_number_stays_with_its_neighbours,
    test_not_a_number_wins_where_it_is_seen,
)
from test_ops import (  # noqa: F401
    test_empty_batch,
    test_float32_is_as_accurate_as_the_formula,
    test_gradcheck,
    test_matches_the_formula_in_float64,
    test_non_contiguous_input,
)
from torch import Tensor

from pointmcd import ops
from pointmcd.ops import dispatch, reference
from pointmcd.ops.cuda import kernels, launch

pytestmark = pytest.mark.skipif(cuda_host.COMPILER is None, reason="needs g++")


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch):
    """CPU tensors, with the CUDA kernels as their backend."""
    monkeypatch.setitem(dispatch._MODULES, "host", kernels.__name__)
    monkeypatch.setitem(dispatch._DEVICES, "host", "cpu")
    monkeypatch.setattr(launch, "run", functools.partial(cuda_host.run, falling=True))
    with ops.use_backend("host"):
        yield "cpu"


def test_every_kernel_is_run(device, monkeypatch):
    launched = set()

    def run(file: str, name: str, *args: object) -> None:
        launched.add(name)
        cuda_host.run(file, name, *args)

    monkeypatch.setattr(launch, "run", run)
    monkeypatch.setattr(kernels, "_BUCKETED", 200)
    test_kernels.everything()
    ops.farthest_point_sample(torch.rand(1, 100, 3), 5)
    ops.farthest_point_sample(torch.rand(1, 300, 3), 5)
    assert launched == {name for file in cuda_host.FILES for name in cuda_host.names(file)}


def test_the_order_of_threads_changes_nothing(device, monkeypatch):
    """A barrier that is missing lets one order of the threads see what the other does not."""
    falling = test_kernels.everything()
    monkeypatch.setattr(launch, "run", cuda_host.run)
    for first, second in zip(falling, test_kernels.everything(), strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize("size", [700, 1025])
def test_bucketed_farthest_points(device, monkeypatch, size):
    monkeypatch.setattr(kernels, "_BUCKETED", 500)
    generator = torch.Generator().manual_seed(0)
    scattered = torch.rand(2, size, 3, generator=generator)
    coarse = torch.randint(-4, 5, (2, size, 3), generator=generator).float()  # ties, and points that coincide
    for points in (scattered, coarse):
        chosen = ops.farthest_point_sample(points, 60)
        assert torch.equal(chosen, reference.farthest_point_sample(points, 60))


def test_bucketed_farthest_points_that_are_nowhere(device, monkeypatch):
    monkeypatch.setattr(kernels, "_BUCKETED", 500)
    points = torch.rand(3, 700, 3, generator=torch.Generator().manual_seed(0))
    points[0, 0], points[1, 5, 1], points[2, 200:600] = torch.nan, torch.inf, -torch.inf
    chosen = ops.farthest_point_sample(points, 60)
    assert torch.equal(chosen, reference.farthest_point_sample(points, 60))


def test_many_neighbours_at_one_distance(device):
    """More candidates than a block of the kernel holds: it must fall back to taking them one by one."""
    points = torch.cat([torch.rand(1, 40, 3), torch.ones(1, 1200, 3)], 1)
    queries = points[:, [0, 39, 40, 41]]
    assert torch.equal(ops.knn(points, 50, queries), reference.knn(points, 50, queries))


def test_distances_in_parts_give_the_same_neighbours(device, monkeypatch):
    points = torch.rand(3, 90, 12, generator=torch.Generator().manual_seed(0))
    whole = ops.knn(points, 5)
    monkeypatch.setattr(kernels, "_SCRATCH", 90 * 40)
    assert torch.equal(ops.knn(points, 5), whole)


def _half_arguments() -> dict[str, tuple]:
    """Arguments of the kernels that take halves; such values as bfloat16 holds."""
    generator = torch.Generator().manual_seed(0)

    def rand(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).bfloat16().float()

    def index(high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=generator)

    row, neighbors = rand(16).abs(), index(40, 2, 40, 6)
    pq = torch.rand(2, 40, 32, generator=generator).argsort(1).float() - 20  # no ties, and halves hold it
    extremum, source, _ = dispatch._TORCH_FORMS["edge_max"](pq, neighbors)
    return {
        "visibility_pool": (rand(2, 40, 16), index(8, 2, 40).int(), 3, 2),
        "visibility_pool_backward": (rand(2, 3, 16), (index(41, 2, 3, 16) - 1).int(), 40),
        "channel_sums": (rand(50, 16),),
        "affine_act": (rand(50, 16), row, row, 0.2, 0.8),
        "affine_act_sums": (rand(50, 16), rand(50, 16), row, row, 0.2, 0.8),
        "affine_act_backward": (rand(50, 16), rand(50, 16), row, row, 0.2, row, row, 0.8),
        "edge_max": (pq, neighbors),
        "edge_max_backward": (rand(2, 40, 16), pq, neighbors, extremum, source, rand(4, 16), 0.2),
        "group": (rand(2, 40, 16), rand(2, 9, 16), index(40, 2, 9, 4)),
        "group_backward": (rand(2, 9, 4, 16), index(40, 2, 9, 4), 40),
        "weighted_sum": (rand(2, 40, 16), index(40, 2, 9, 4), rand(2, 9, 4)),
        "weighted_sum_backward": (rand(2, 9, 16), index(40, 2, 9, 4), rand(2, 9, 4), 40),
    }


@pytest.mark.parametrize("name", _half_arguments())
def test_bfloat16_is_rounded_once(device, name):
    """Sums in float32: each result is within one rounding of the float32 torch form's."""
    arguments = _half_arguments()[name]
    halves = [a.bfloat16() if isinstance(a, Tensor) and a.is_floating_point() else a for a in arguments]
    expected, got = dispatch._TORCH_FORMS[name](*arguments), getattr(kernels, name)(*halves)
    for e, g in zip(*((x if isinstance(x, tuple) else (x,)) for x in (expected, got)), strict=True):
        assert g.dtype == (torch.bfloat16 if e.dtype == torch.float32 else e.dtype)
        torch.testing.assert_close(
            g.double(), e.double(), rtol=2**-8, atol=1e-4 if e.dtype == torch.float32 else 1e-3
        )


def test_too_large_a_grid_is_refused():
    with pytest.raises(ValueError, match="split the batch"):
        launch.launch("norm", "affine_act", torch.float32, 2**31, 256)


def test_other_types_are_refused(device):
    x = torch.zeros(4, 4, dtype=torch.complex64)
    with pytest.raises(TypeError, match="complex64"):
        kernels.channel_sums(x)
