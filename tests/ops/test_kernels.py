"""The operators that backends implement: their declarations, ties, borders, threads and processes."""

import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from pointmcd import ops
from pointmcd.ops import reference


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def kernel_arguments() -> dict[str, tuple]:
    feats, masks = rand(2, 7, 5), torch.arange(14, dtype=torch.int32).view(2, 7)
    source = torch.randint(-1, 7, (2, 3, 5), dtype=torch.int32)
    rows, row, index = rand(6, 5), rand(5), torch.randint(0, 7, (2, 4, 3))
    pq, neighbors, weight = rand(2, 7, 10), torch.randint(0, 7, (2, 7, 3)), rand(4, 5)
    extremum, _, _ = torch.ops.pointmcd.edge_max(pq, neighbors)
    return {
        "visibility_pool": (feats, masks, 3, 2),
        "visibility_pool_backward": (rand(2, 3, 5), source, 7),
        "channel_sums": (rows,),
        "affine_act": (rows, row, row, 0.2, 0.8),
        "affine_act_sums": (rows, rows, row, row, 0.2, 0.8),
        "affine_act_backward": (rows, rows, row, row, 0.2, row, row, 0.8),
        "depthwise_backward": (rand(2, 3, 4, 5), rand(2, 6, 8, 5), rand(5, 1, 3, 3), [2, 2], [1, 1]),
        "linear_pool": (feats, weight, masks, 3, True, row, row, 0.2, False),
        "linear_pool_backward": (
            *(rand(2, 3, 4), source[..., :4].contiguous(), feats, weight, rand(4), rand(4)),
            *(row, row, 0.2, False),
        ),
        "act_linear": (rows, row, row, 0.2, weight, False),
        "act_linear_backward": (rand(6, 4), rows, row, row, 0.2, weight, False),
        "finish_norm_act_": (rows.clone(), rows, row, row, 0.2, row, row),
        "rounded_product": (rows.float(), weight.T.float()),
        "pool_scatter": (rand(2, 7, 5), rand(4, 5), rand(2, 3, 4), source[..., :4], feats, weight),
        "edge_max": (pq, neighbors),
        "edge_max_backward": (
            *(extremum, pq, neighbors, extremum),
            *(neighbors[..., :1].expand(-1, -1, 5).int(), rand(4, 5), 0.2),
        ),
        "knn": (feats, feats, 3),
        "nearest_weights": (feats, feats, 3),
        "weighted_sum": (feats, index, rand(2, 4, 3)),
        "weighted_sum_backward": (rand(2, 4, 5), index, rand(2, 4, 3), 7),
        "farthest_point_sample": (rand(2, 7, 3), 4),
        "ball_query": (rand(2, 7, 3), rand(2, 4, 3), 0.5, 3),
        "group": (feats, rand(2, 4, 5), index),
        "group_backward": (rand(2, 4, 3, 5), index, 7),
    }


def test_every_kernel_is_checked():
    assert set(kernel_arguments()) == set(ops.runs_on("cpu"))


@pytest.mark.parametrize("name", ops.runs_on("cpu"))
def test_declaration(device, name):
    arguments = tuple(a.to(device) if isinstance(a, Tensor) else a for a in kernel_arguments()[name])
    operator = getattr(torch.ops.pointmcd, name).default
    torch.library.opcheck(operator, arguments)


def test_hidden_points_and_ties_of_visibility_pooling(device):
    feats = torch.tensor([[[1.0, -1.0], [2.0, -3.0], [2.0, -1.0]]], device=device, requires_grad=True)
    # view 0 sees all, view 1 the last two, view 2 none
    visibility = torch.tensor([[1, 3, 3]], dtype=torch.int32, device=device)
    pooled = ops.visibility_pool(feats, visibility, 3, with_global=True)
    assert pooled.tolist() == [[[2, 0], [2, 0], [0, 0], [2, -1]]]
    pooled.sum().backward()  # the first of equal points, and where zero won none
    assert feats.grad.tolist() == [[[0, 1], [3, 0], [0, 0]]]


def test_32_views_fill_the_mask(device):
    feats = torch.rand(1, 5, 3, device=device)
    visibility = torch.full((1, 5), -(2**31), dtype=torch.int32, device=device)
    pooled = ops.visibility_pool(feats, visibility, 32)
    assert not pooled[:, :31].any()
    assert torch.equal(pooled[:, 31], feats.amax(1))
    pooled = ops.visibility_pool(feats, visibility, 31, with_global=True)
    assert torch.equal(pooled[:, 31], feats.amax(1))
    with pytest.raises(ValueError, match="33 views"):
        ops.visibility_pool(feats, visibility, 32, with_global=True)


def test_not_a_number_wins_where_it_is_seen(device):
    """In whatever order: of a cloud of so many points some are looked at by another thread, or block."""
    for place in (0, 3, 299):
        feats = rand(1, 300, 5).float()
        feats[0, place, 2] = torch.nan
        feats[0, :, 3] = -torch.inf
        visibility = torch.full((1, 300), 3, dtype=torch.int32)
        visibility[0, place] = 1
        pooled = ops.visibility_pool(feats.to(device), visibility.to(device), 2, with_global=True).cpu()
        expected = reference.visibility_pool(feats, visibility, 2, with_global=True)
        assert torch.equal(pooled.isnan(), expected.isnan())
        assert torch.equal(pooled.nan_to_num(), expected.nan_to_num())
        assert pooled.isnan().sum(-1).tolist() == [[1, 0, 1]]


def test_not_a_number_stays_with_its_neighbours(device):
    x = rand(2, 30, 4)
    x[0, 5, 1] = torch.nan
    neighbors = torch.randint(0, 30, (2, 30, 6), generator=torch.Generator().manual_seed(0))
    norm = [rand(9), rand(9), rand(9), rand(9) + 1]
    weight = rand(9, 8)
    for dtype in (torch.float32, torch.float64):
        arguments = [t.to(device, dtype) for t in (weight, *norm)]
        out = ops.edge_conv(x.to(device, dtype), neighbors.to(device), *arguments, training=False).cpu()
        expected = reference.edge_conv(x, neighbors, weight, *norm, training=False)
        torch.testing.assert_close(out.double(), expected, rtol=1e-4, atol=1e-4, equal_nan=True)
        assert not out[1].isnan().any()
        assert 1 < out[0, :, 0].isnan().sum() < 30


def test_no_points(device):
    norm = [rand(9).to(device) + 1 for _ in range(4)]
    for batch, points in ((0, 5), (2, 0)):
        x = rand(batch, points, 4).to(device).requires_grad_()
        neighbors = torch.zeros(batch, points, 3, dtype=torch.int64, device=device)
        out = ops.edge_conv(x, neighbors, rand(9, 8).to(device), *norm, training=False)
        out.sum().backward()
        assert out.shape == (batch, points, 9)
        assert x.grad.shape == x.shape
    with pytest.raises(ValueError, match="at least two rows, got 0"):
        ops.edge_conv(x, neighbors, rand(9, 8).to(device), *norm, training=True)


@pytest.mark.parametrize(("rows", "offset"), [(3, 0.0), (200_000, 0.0), (50_000, 1000.0)])
def test_batch_norm_keeps_its_digits_over_many_rows(device, rows, offset):
    """Against float64; ``F.batch_norm`` of rows on the CPU is off by 1e-4 at the second size."""
    x = (torch.randn(rows, 4, generator=torch.Generator().manual_seed(0)) + offset).to(device)
    ones, zeros = torch.ones(4, device=device), torch.zeros(4, device=device)
    out = ops.batch_norm_act(x, ones, zeros, zeros.clone(), ones.clone(), True, negative_slope=1.0)
    wide = x.double()
    expected = (wide - wide.mean(0)) / (wide.var(0, correction=0) + 1e-5).sqrt()
    error = (out.double() - expected).abs().max()
    assert error <= 5e-7 * expected.abs().max() + 1e-7 * offset


def test_half_precision(device):
    x = torch.randn(2, 50, 6, generator=torch.Generator().manual_seed(0)).bfloat16().to(device)
    ones, zeros = torch.ones(6, device=device), torch.zeros(6, device=device)
    visibility = torch.ones(2, 50, dtype=torch.int32, device=device)
    for value in (x, x.float()):
        out = ops.batch_norm_act(value, ones, zeros, zeros.clone(), ones.clone(), True)
        pooled = ops.visibility_pool(value, visibility, 1)
        assert out.dtype == pooled.dtype == value.dtype
    torch.testing.assert_close(pooled, x.float().amax(1, keepdim=True).clamp_min(0))


def test_backward_under_autocast(device):
    """Some call ``backward`` inside the context too."""
    norm = [torch.ones(6, device=device), torch.zeros(6, device=device)] * 2
    x, weight = rand(2, 50, 5).float().to(device), rand(6, 5).float().to(device).requires_grad_()
    gradients = []
    for enabled in (False, True):
        with torch.autocast(device, torch.bfloat16, enabled=enabled):
            out = ops.linear_norm_pool(x, weight, *(v.clone() for v in norm), None, 0, training=True)
            gradients.append(torch.autograd.grad(out.sum(), weight)[0])
    assert torch.equal(*gradients)


def test_beyond_2_to_the_31_elements(device):
    """Of the large tensor only the pages that are written take memory."""
    if device == "cuda":
        pytest.skip("test_cuda_device.py has it")
    points, channels = 2**21 + 7, 1024
    try:
        feats = torch.empty(1, points, channels)
    except RuntimeError as error:
        pytest.skip(f"8 GiB of address space: {error}")
    feats[0, -2:] = torch.tensor([[1.0], [3.0]])
    index = torch.tensor([points - 1, points - 2]).view(1, 1, 2)
    assert ops.group(feats, None, index)[0, 0, :, -1].tolist() == [3, 1]
    summed = torch.ops.pointmcd.weighted_sum(feats, index, torch.full((1, 1, 2), 0.5))
    assert summed.unique().tolist() == [2]
    if ops.runs_on(device)["visibility_pool"] in ("torch", "native"):  # the others read it all, slowly
        visibility = torch.zeros(1, points, dtype=torch.int32)
        visibility[0, -2:] = 1
        pooled, source = torch.ops.pointmcd.visibility_pool(feats, visibility, 1, 1)
        assert pooled.unique().tolist() == [3]
        assert source.unique().tolist() == [points - 1]


def test_indices_outside_are_refused(device):
    if device == "cuda":
        pytest.skip("an index outside ends a CUDA context: the caller's error is reported by CUDA itself")
    points, norm = rand(2, 4, 2), [rand(5) + 1 for _ in range(4)]
    for wrong in (4, -1):  # of cloud 0, 4 would be the first of cloud 1
        index = torch.zeros(2, 4, 3, dtype=torch.int64)
        index[0, 1, 1] = wrong
        with pytest.raises(
            IndexError, match=rf"index holds {min(wrong, 0)} to {max(wrong, 0)}, outside \[0, 4\)"
        ):
            ops.group(points, points, index)
        with pytest.raises(IndexError, match="neighbors holds"):
            ops.edge_conv(points, index, rand(5, 4), *norm, training=False)


def everything(seed: int = 0) -> list[Tensor]:
    """Values and gradients that go through every kernel."""
    torch.manual_seed(seed)
    points, weight, fused = torch.rand(2, 300, 3), torch.randn(70, 6), torch.randn(90, 70)
    norm = [torch.randn(70), torch.randn(70), torch.zeros(70), torch.ones(70)]
    last = [torch.randn(90), torch.randn(90), torch.zeros(90), torch.ones(90)]
    leaves = [points, weight, fused, norm[0], last[0]]
    for leaf in leaves:
        leaf.requires_grad_()
    hidden = ops.edge_conv(points, ops.knn(points, 9), weight, *norm, training=True)
    hidden = ops.batch_norm_act(hidden, *norm, training=True)
    centers = points[:, :50].detach()
    index = ops.ball_query(points.detach(), centers, 0.3, 8)
    grouped = ops.group(hidden, hidden[:, :50], index).amax(2)
    hidden = hidden + ops.interpolate(points.detach(), centers, grouped)
    visibility = torch.randint(0, 8, (2, 300), dtype=torch.int32)
    pooled = ops.linear_norm_pool(hidden, fused, *last, visibility, 3, training=True)
    pooled = torch.cat([pooled.flatten(), ops.visibility_pool(hidden, visibility, 3).flatten()])
    return [pooled.detach(), *torch.autograd.grad(pooled.square().sum(), leaves)]


def test_results_repeat_bit_for_bit(device):
    for first, second in zip(everything(), everything(), strict=True):
        assert torch.equal(first, second)


def test_forked_process_and_data_loader_worker():
    """libgomp's threads do not survive fork(): a child that starts others would hang."""
    code = """
import os, sys, torch
sys.path.insert(0, sys.argv[1])
from test_kernels import everything
torch.set_num_threads(2)
expected = everything()
class Data(torch.utils.data.Dataset):
    def __len__(self): return 2
    def __getitem__(self, i): return everything()[0]
torch.set_num_threads(1)
alone = everything()[0]
torch.set_num_threads(2)
loader = torch.utils.data.DataLoader(Data(), num_workers=1, batch_size=None, multiprocessing_context="fork")
for value in loader:
    assert torch.equal(value, alone)
child = os.fork()
if child == 0:
    from pointmcd import ops
    ops.knn(torch.rand(4, 100, 3), 5)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    folder = os.path.dirname(__file__)
    subprocess.run([sys.executable, "-c", code, folder], check=True, timeout=120)
