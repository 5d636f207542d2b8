"""The forms that travel make the choices of the kernels."""

import pytest
import torch

from pointmcd import ops
from pointmcd.apis.onnx import OLDEST
from pointmcd.ops import exportable
from pointmcd.ops.interpolate import _nearest_weights, _weighted_sum


def lattice():
    """(2, 64, 3) points of a 4 x 4 x 4 lattice, in two orders: most distances tie."""
    axis = torch.arange(4.0)
    points = torch.cartesian_prod(axis, axis, axis)
    return torch.stack([points, points[torch.randperm(64, generator=torch.Generator().manual_seed(0))]])


def cloud(channels=3, size=64):
    return torch.randn(2, size, channels, generator=torch.Generator().manual_seed(channels))


@pytest.mark.parametrize("channels", [3, 8, 9, 64])
def test_knn(channels):
    points, queries = cloud(channels), cloud(channels, 20)
    assert torch.equal(exportable.knn(points, queries, 7), ops.knn(points, 7, queries))


@pytest.mark.parametrize(("radius", "k"), [(0.9, 3), (1.0, 8), (0.1, 4), (5.0, 80)])
def test_ball_query(radius, k):
    points = lattice()
    for centers in (points[:, ::3].contiguous(), points[:, :5] + 0.3):
        found = exportable.ball_query(points, centers, radius, k)
        assert torch.equal(found, ops.ball_query(points, centers, radius, k))


@pytest.mark.skipif(torch.__version__ < OLDEST, reason="needs the loops of torch 2.13")
def test_farthest_point_sample():
    repeated = lattice()[:, :4].repeat(1, 16, 1)  # once all are chosen, the first follows
    points = torch.cat([lattice(), cloud(), repeated])
    found = exportable.farthest_point_sample(points, 12)
    assert torch.equal(found, ops.farthest_point_sample(points, 12))


def test_interpolation():
    points, queries, feats = cloud(), torch.cat([cloud(size=9), cloud()[:, :3]], 1), cloud(5)
    index, weight = exportable.nearest_weights(points, queries, 3)
    their_index, their_weight = _nearest_weights(points, queries, 3)
    assert torch.equal(index, their_index)
    torch.testing.assert_close(weight, their_weight)
    torch.testing.assert_close(
        exportable.weighted_sum(feats, index, weight), _weighted_sum(feats, index, their_weight)
    )


def test_features():
    feats, index = cloud(6), torch.randint(64, (2, 10, 4), generator=torch.Generator().manual_seed(0))
    centers = cloud(6, 10)
    kernels = torch.ops.pointmcd
    assert torch.equal(exportable.group(feats, centers, index), kernels.group(feats, centers, index))
    neighbors = index.repeat(1, 7, 1)[:, :64].contiguous()
    torch.testing.assert_close(
        exportable.edge_max(feats, neighbors)[0], kernels.edge_max(feats, neighbors)[0]
    )
    weight, masks = torch.randn(5, 6, generator=torch.Generator().manual_seed(1)), torch.ones(2, 64).int()
    pooled = kernels.linear_pool(feats, weight, masks, 1, False)[0]
    torch.testing.assert_close(exportable.linear_pool(feats, weight, masks, 1, False)[0], pooled)
    rows, scale, shift = feats[0], weight[0], weight[1]
    for slope in (0.0, 0.2, 1.0):
        expected = kernels.affine_act(rows, scale, shift, slope)
        torch.testing.assert_close(exportable.affine_act(rows, scale, shift, slope), expected)
        bounded = exportable.affine_act(rows, scale, shift, slope, 0.5)
        torch.testing.assert_close(bounded, expected.clamp(max=0.5))
        assert (bounded == 0.5).any()


def test_a_student_pools_over_no_view():
    with pytest.raises(NotImplementedError, match="not over views"):
        exportable.linear_pool(cloud(), torch.ones(4, 3), torch.ones(2, 64).int(), 3, False)
