"""The official paths that ratios are taken to compute what our operations do, and FLOPs are counted right."""

import sys
from pathlib import Path

import pytest
import torch

from pointmcd import ops

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import cases
import models
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


def test_a_prepared_batch_can_be_read(tmp_path):
    batch = cases.read_batch(tmp_path, 4).ours()
    assert batch["points"].shape == (4, 1024, 3)


def both(case: cases.Case) -> tuple[cases.Run, cases.Run]:
    return case.ours, case.official


@pytest.mark.parametrize("name", ["PointNet", "DGCNN", "PointNet++ SSG"])
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


def test_flops_by_hand():
    """Products of widths; the last layers, and those of the T-Nets, are in fused operators."""
    head = 1024 * 512 + 512 * models.CLASSES
    first_tnet = 3 * 64 + 64 * 64 + 64 * 256
    feature_tnet = 64 * 64 + 64 * 64 + 64 * 256
    a_point = first_tnet + 3 * 3 + 3 * 64 + feature_tnet + 64 * 64 + 64 * 128 + 128 * 1024
    a_cloud = 2 * (256 * 64 + 64 * 64) + 64 * 3 * 3 + 64 * 64 * 64
    assert a_point == 188_809
    assert counted("PointNet", tnet_reg_weight=0) == 2 * (1024 * a_point + a_cloud + head)

    # an edge's layer acts on the points, once for each half of its weight
    a_point = 2 * (3 * 64 + 64 * 64 + 64 * 128 + 128 * 256) + (64 + 64 + 128 + 256) * 1024
    assert counted("DGCNN") == 2 * (1024 * a_point + head)

    # of a set abstraction's first layer the products with coordinates are of the members of a group
    members = 512 * 32 * (3 * 64 + 64 * 64 + 64 * 128) + 128 * 64 * (3 * 128 + 128 * 128 + 128 * 256)
    points = 512 * 128 * 128 + 128 * (259 * 256 + 256 * 512 + 512 * 1024)
    assert counted("PointNet2") == 2 * (members + points + head)


def test_flops_of_attention_by_hand():
    """What a second block adds: four square matrices, an MLP of eight, and two products of tokens."""
    tokens, width = 17, 192
    block = tokens * 12 * width**2 + 2 * tokens**2 * width
    one, two = (counted("PointTransformer", size="tiny", num_patches=16, depth=depth) for depth in (1, 2))
    assert two - one == 2 * block


def counted(name: str, **options: object) -> int:
    return models.flops(models.build(name, "classification", **options), models.clouds("classification", 1))
