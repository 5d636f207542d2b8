"""Neighbour search, sampling and grouping: which points are chosen, ties and borders included."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pointmcd import ops
from pointmcd.ops import reference


def rand(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def grid(*shape: int, seed: int = 0) -> Tensor:
    """Points of a coarse grid: many coincide, most distances are equal, and all are exact."""
    return torch.randint(-2, 3, shape, generator=torch.Generator().manual_seed(seed)).float()


CLOUDS = {
    "scattered": rand(3, 100, 3, dtype=torch.float64),
    "grid": grid(2, 150, 3),
    "all equal": torch.ones(1, 40, 3),
    "one point": rand(2, 1, 3),
    "a line": torch.arange(33.0)[None, :, None] * torch.tensor([1.0, 0, 0]),
}


@pytest.mark.parametrize("cloud", CLOUDS)
def test_farthest_points_are_those_of_the_formula(device, cloud):
    points = CLOUDS[cloud]
    for count in {1, points.shape[1] // 2 + 1, points.shape[1]}:
        chosen = ops.farthest_point_sample(points.to(device), count)
        assert torch.equal(chosen.cpu(), reference.farthest_point_sample(points, count))


def test_farthest_points_of_a_large_cloud(device):
    """So many points that a backend may sort them into a tree; ties of the grid included."""
    clouds = [
        rand(1, 6000, 3),
        grid(1, 5000, 3, seed=1) + rand(1, 5000, 3).round(decimals=1),
        torch.ones(1, 5000, 3),
        rand(1, 5000, 3, dtype=torch.float64) ** 40,  # crowded at a corner
    ]
    for points in clouds:
        chosen = ops.farthest_point_sample(points.to(device), 200)
        assert torch.equal(chosen.cpu(), reference.farthest_point_sample(points, 200))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 60), st.integers(0, 10**6))
def test_each_farthest_point_is_as_far_as_any(size, seed):
    points = rand(1, size, 3, seed=seed, dtype=torch.float64)
    chosen = ops.farthest_point_sample(points, size)[0]
    assert sorted(chosen.tolist()) == list(range(size))
    distance = torch.cdist(points[0], points[0])
    for i in range(1, size):
        to_chosen = distance[:, chosen[:i]].amin(1)
        assert to_chosen[chosen[i]] >= to_chosen.max() - 1e-12


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("radius", [0.0, 0.3, 1.0, 100.0])
@pytest.mark.parametrize("k", [1, 7, 60])
def test_ball_query(device, cloud, radius, k):
    points = CLOUDS[cloud]
    centers = torch.cat([points[:, ::3], points[:, :1] + 1000], 1)  # the last is near none
    index = ops.ball_query(points.to(device), centers.to(device), radius, k)
    assert torch.equal(index.cpu(), reference.ball_query(points, centers, radius, k))


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("k", [1, 3, 20])
def test_nearest_neighbours_in_space(device, cloud, k):
    points = CLOUDS[cloud]
    k = min(k, points.shape[1])
    queries = torch.cat([points[:, ::2], points[:, :2] * 0.5 + 1], 1)
    index = ops.knn(points.to(device), k, queries.to(device)).cpu()
    expected = reference.knn(points, k, queries)
    if ops.runs_on(device)["knn"] == "torch":  # equally near ones in any order
        distance = reference.square_distance(queries, points)
        assert torch.equal(distance.gather(-1, index), distance.gather(-1, expected))
        assert (index.sort(-1).values.diff() > 0).all()
    else:
        assert torch.equal(index, expected)


@pytest.mark.parametrize("channels", [2, 8, 9, 64, 130])
@pytest.mark.parametrize("k", [1, 20, 150, 300])
def test_nearest_neighbours_in_feature_space(device, channels, k):
    """Against float64: no returned neighbour is farther than the true one by more than rounding."""
    points = rand(2, 300, channels) + 3
    index = ops.knn(points.to(device), k).cpu()
    distance = reference.square_distance(points.double(), points.double())
    true = distance.sort(-1).values[..., :k]
    found = distance.gather(-1, index)
    assert (index.sort(-1).values.diff() != 0).all()
    assert (found[..., 0] < 1e-10).all()  # the point itself
    assert (found.sort(-1).values <= true * (1 + 1e-6) + 1e-12).all()
    assert (found.diff() >= -2e-6 * found[..., 1:]).all()


def test_neighbours_of_equal_features(device):
    if ops.runs_on(device)["knn"] == "torch":
        pytest.skip("the torch backend takes equally near ones in any order")
    points = torch.ones(2, 70, 16)
    index = ops.knn(points.to(device), 9).cpu()
    assert torch.equal(index, torch.arange(9).expand(2, 70, 9))


def test_interpolation_at_the_points_gives_their_features(device):
    points, feats = rand(2, 50, 3), rand(2, 50, 7, seed=1)
    out = ops.interpolate(points.to(device), points.to(device), feats.to(device)).cpu()
    torch.testing.assert_close(out, feats, rtol=1e-4, atol=1e-4)
    one = ops.interpolate(points.to(device), points[:, :1].to(device), feats[:, :1].to(device)).cpu()
    torch.testing.assert_close(one, feats[:, :1].expand(-1, 50, -1))


def nowhere(channels: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Clouds some of whose points have a coordinate that is not finite: one, its first, nearly all."""
    points = rand(4, 40, channels, dtype=dtype)
    points[0, 3, 0], points[0, 7, 1], points[0, 9, -1] = torch.nan, torch.inf, -torch.inf
    points[1, 0] = torch.nan
    points[2, 2:] = torch.inf
    points[3] = torch.nan
    return points


@pytest.mark.parametrize("channels", [3, 16])
@pytest.mark.parametrize("k", [1, 3, 20, 40])
def test_neighbours_that_are_nowhere_come_last(device, channels, k):
    points = nowhere(channels)
    index = ops.knn(points.to(device), k).cpu()
    if ops.runs_on(device)["knn"] != "torch":
        assert torch.equal(index, reference.knn(points, k))
    distance = reference.square_distance(points, points)
    expected = distance.sort(-1).values[..., :k]
    torch.testing.assert_close(distance.gather(-1, index), expected, rtol=1e-5, atol=1e-5)
    assert (index.sort(-1).values.diff() > 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_points_that_are_nowhere_are_not_sampled_nor_grouped(device, dtype):
    points = nowhere(3, dtype)
    chosen = ops.farthest_point_sample(points.to(device), 37).cpu()
    assert torch.equal(chosen, reference.farthest_point_sample(points, 37))
    assert not {3, 7, 9} & set(chosen[0].tolist())
    assert chosen[2:].unique().tolist() == [0, 1]
    queries = torch.cat([points[:, :10], rand(4, 3, 3, dtype=dtype)], 1)
    index = ops.ball_query(points.to(device), queries.to(device), 0.5, 9).cpu()
    assert torch.equal(index, reference.ball_query(points, queries, 0.5, 9))
    feats = rand(4, 40, 5, seed=1, dtype=dtype)
    out = ops.interpolate(queries.to(device), points.to(device), feats.to(device)).cpu()
    expected = reference.interpolate(queries, points, feats)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4, equal_nan=True)
    assert out[0, 3].isnan().all()
    assert out[0, 10:].isfinite().all()


def test_points_that_are_nowhere_in_a_large_cloud(device):
    for place in (0, 17):
        for odd in (torch.nan, torch.inf, -torch.inf):
            points = rand(1, 5000, 3)
            points[0, place, 1] = odd
            chosen = ops.farthest_point_sample(points.to(device), 60)
            assert torch.equal(chosen.cpu(), reference.farthest_point_sample(points, 60))


def test_no_clouds_and_no_queries(device):
    points = rand(2, 10, 3).to(device)
    assert ops.farthest_point_sample(points[:0], 4).shape == (0, 4)
    for p, q in ((points[:0], points[:0]), (points, points[:, :0])):
        assert ops.knn(p, 4, q).shape == (*q.shape[:2], 4)
        assert ops.ball_query(p, q, 0.5, 4).shape == (*q.shape[:2], 4)
        assert ops.interpolate(q, p, p).shape == q.shape


@pytest.mark.parametrize("threads", [1, 3, 16])
def test_fewer_clouds_than_threads(threads):
    points, before = rand(1, 10, 3), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for queries in (points[:, :0], points[:, :1], points):
            assert torch.equal(ops.knn(points, 3, queries), reference.knn(points, 3, queries))
            assert ops.interpolate(queries, points, points).shape == queries.shape
    finally:
        torch.set_num_threads(before)


def test_indices_do_not_depend_on_threads_or_batch(device):
    points = rand(3, 500, 3)
    threads = torch.get_num_threads()
    try:
        results = []
        for n in (1, 3):
            torch.set_num_threads(n)
            results.append([ops.knn(points.to(device), 5), ops.farthest_point_sample(points.to(device), 20)])
        single = ops.knn(points[1:2].to(device), 5)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert torch.equal(results[0][0][1:2], single)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: ops.knn(p, 11), r"k must be in \[1, 10\]"),
        (lambda p: ops.knn(p[0], 3), r"points must have shape \(B, N, C\), got \(10, 3\)"),
        (lambda p: ops.knn(p, 3, p[..., :2]), r"queries must have shape \(2, Q, 3\), got \(2, 10, 2\)"),
        (lambda p: ops.knn(p.long(), 3), "points must be floating point, got torch.int64"),
        (lambda p: ops.farthest_point_sample(p, 11), r"count must be in \[1, 10\]"),
        (lambda p: ops.farthest_point_sample(p[..., :2], 2), r"got \(2, 10, 2\)"),
        (
            lambda p: ops.ball_query(p, p, -1.0, 4),
            "radius must not be negative, and its square be finite, got -1.0",
        ),
        (lambda p: ops.ball_query(p[:, :0], p, 1.0, 4), "the number of points must be at least 1, got 0"),
        (lambda p: ops.ball_query(p, p, 1e30, 4), "its square be finite, got 1e"),
        (lambda p: ops.ball_query(p, p, torch.nan, 4), "got nan"),
        (lambda p: ops.ball_query(p, p, 1.0, 2**31), r"k must be in \[1, 2147483647\]"),
        (lambda p: ops.interpolate(p, p[:, :0], p[:, :0]), "the number of points must be at least 1, got 0"),
        (lambda p: ops.knn(p[..., :0], 1), "the number of coordinates must be at least 1, got 0"),
        (lambda p: ops.knn(p, 2.0), "k must be an integer, got 2.0"),
        (lambda p: ops.knn(p.to(torch.float8_e4m3fn), 1), "points must be floating point, got torch.float8"),
        (lambda p: ops.knn(p.to_sparse(), 1), "points must be a dense tensor, got torch.sparse_coo"),
        (lambda p: ops.knn(p[:1, :1].expand(1, 2**31, 3), 1), "2147483648"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(rand(2, 10, 3))
