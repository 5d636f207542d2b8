"""The official paths that ratios are taken to compute what our operations do."""

import sys
from pathlib import Path

import pytest
import torch

from pointmcd import ops

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import cases
import official


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: cases.visibility_pool("cpu", 1),
        lambda: cases.edge_conv("cpu", 1, 3, 64),
        lambda: cases.edge_mlp("cpu", 1, 256, 8),
        lambda: cases.interpolate("cpu", 1),
    ],
)
def test_values_and_gradients(make):
    case = make()
    ours, theirs = case.ours(), case.official()
    for value, expected in zip(ours, theirs, strict=True) if isinstance(ours, list) else [(ours, theirs)]:
        torch.testing.assert_close(value, expected, rtol=1e-3, atol=2e-3 * float(expected.abs().max()))


def test_indices():
    assert torch.equal(*(run() for run in both(cases.sample("cpu", 2, 300, 50))))
    assert torch.equal(*(run() for run in both(cases.ball_query("cpu", 1))))
    ours, theirs = (run() for run in both(cases.knn("cpu", 1, 64)))
    assert (ours.sort(-1).values == theirs.sort(-1).values).float().mean() > 0.999


def both(case: cases.Case) -> tuple[cases.Run, cases.Run]:
    return case.ours, case.official


@pytest.mark.parametrize("name", ["DGCNN", "PointNet++ SSG"])
def test_a_distillation_step_has_the_same_loss(name):
    """The same weights and data on both sides; the second step sees the gradients of the first."""
    losses = []
    for side in ("ours", "official"):
        step = getattr(cases.distillation_step("cpu", 2, name), side)
        losses.append([step(), step()])
    torch.testing.assert_close(losses[0][0], losses[1][0], rtol=5e-3, atol=0)
    torch.testing.assert_close(losses[0][1], losses[1][1], rtol=0.05, atol=0)  # near ties choose neighbours


def test_set_abstraction_is_as_accurate_as_the_official_path():
    """Features in float32 against float64; sums in plain float32 along rows are a hundred times worse."""
    torch.manual_seed(0)
    points = torch.randn(4, 1024, 3)
    points /= points.norm(dim=-1, keepdim=True)
    net = cases.PointNet2()
    exact = official.pointnet2(net.double(), points.double())[0]
    net.float()
    with torch.no_grad():
        theirs = (official.pointnet2(net, points)[0] - exact).norm()
        for backend in ops.available("cpu"):
            with ops.use_backend(backend):
                assert (net(points)["point_feats"] - exact).norm() < 1.3 * theirs
