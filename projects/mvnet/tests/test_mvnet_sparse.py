"""Sparse convolutions against dense ones in float64, and the U-Net's invariances."""

import sys

import pytest
import torch
import torch.nn.functional as F

from pointmcd.registry import MODELS
from projects.mvnet.mvnet import SRUNet
from projects.mvnet.mvnet.sparse import (
    coarser,
    find,
    neighbor_pairs,
    pyramid,
    shift,
    sparse_conv,
    spconv_conv,
    transposed,
    voxel_keys,
)
from projects.mvnet.mvnet.srunet import read_voxels

SMALL = {"stem_channels": 4, "channels": (6, 8), "blocks": (1, 2), "out_channels": 16, "voxel_size": 0.25}
DECODER = {"decoder_channels": (7, 5), "decoder_blocks": (1, 1)}


def grid(share, side=6, clouds=2, low=-3):
    """Occupied cells of dense grids: mask (B, S, S, S), keys, and the place of each key in the mask."""
    torch.manual_seed(0)
    mask = torch.rand(clouds, side, side, side) < share
    place = mask.nonzero()
    cells = place[:, 1:] + low
    per_cloud = [voxel_keys(cells[place[:, 0] == b][None])[0] + b * (1 << 48) for b in range(clouds)]
    keys = torch.cat(per_cloud)
    assert (keys.diff() > 0).all()
    return mask, keys, tuple(place.T)


def dense(feats, mask, place):
    """(B, C, S, S, S), zero where not occupied."""
    out = feats.new_zeros(*mask.shape, feats.shape[1])
    return out.index_put(place, feats).permute(0, 4, 1, 2, 3)


def as_dense_weight(weight, size, transpose=False):
    """(K, I, O) to (O, I, s, s, s), or (I, O, s, s, s)."""
    cube = weight.view(size, size, size, *weight.shape[1:])
    return cube.permute(3, 4, 0, 1, 2) if transpose else cube.permute(4, 3, 0, 1, 2)


def check_same(sparse, dense_of, *inputs):
    """Values and gradients of two functions agree."""
    grad = torch.randn_like(sparse(*inputs))
    torch.testing.assert_close(sparse(*inputs), dense_of(*inputs))
    ours = torch.autograd.grad(sparse(*inputs), inputs, grad)
    theirs = torch.autograd.grad(dense_of(*inputs), inputs, grad)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_submanifold_convolution_is_the_masked_dense_one(share):
    mask, keys, place = grid(share)
    feats = torch.randn(len(keys), 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(27, 3, 5, dtype=torch.float64, requires_grad=True)
    pairs = neighbor_pairs(keys)

    def masked(feats, weight):
        out = F.conv3d(dense(feats, mask, place), as_dense_weight(weight, 3), padding=1)
        return out.permute(0, 2, 3, 4, 1)[place]

    check_same(lambda f, w: sparse_conv(f, w, pairs, len(keys)), masked, feats, weight)


@pytest.mark.parametrize("share", [1.0, 0.2])
@pytest.mark.parametrize("low", [-4, 0])
def test_strided_and_transposed_convolutions_are_the_dense_ones(share, low):
    mask, keys, place = grid(share, low=low)
    parents, parent, pairs = coarser(keys)
    coarse = F.max_pool3d(mask[:, None].float(), 2)[:, 0] > 0
    coarse_place = tuple(coarse.nonzero().T)
    assert len(parents) == int(coarse.sum())
    feats = torch.randn(len(keys), 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(8, 3, 5, dtype=torch.float64, requires_grad=True)

    def strided(feats, weight):
        out = F.conv3d(dense(feats, mask, place), as_dense_weight(weight, 2), stride=2)
        return out.permute(0, 2, 3, 4, 1)[coarse_place]

    check_same(lambda f, w: sparse_conv(f, w, pairs, len(parents)), strided, feats, weight)

    above = torch.randn(len(parents), 3, dtype=torch.float64, requires_grad=True)

    def back(above, weight):
        cube = as_dense_weight(weight, 2, transpose=True)
        out = F.conv_transpose3d(dense(above, coarse, coarse_place), cube, stride=2)
        return out.permute(0, 2, 3, 4, 1)[place]

    check_same(lambda f, w: sparse_conv(f, w, transposed(pairs), len(keys)), back, above, weight)
    cells = torch.stack(place[1:], -1) + low
    expected = torch.stack([place[0], *(cells.T // 2)], -1)
    groups = torch.unique(expected, dim=0, return_inverse=True)[1]
    assert torch.equal(parent, groups)


def test_gradients_by_finite_differences():
    _, keys, _ = grid(0.2, side=3)
    feats = torch.randn(len(keys), 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(27, 2, 2, dtype=torch.float64, requires_grad=True)
    pairs = neighbor_pairs(keys)
    assert torch.autograd.gradcheck(lambda f, w: sparse_conv(f, w, pairs, len(keys)), (feats, weight))


def test_spconv_computes_the_same():
    """Forward alone: spconv's gradient needs CUDA."""
    pytest.importorskip("spconv")
    _, keys, _ = grid(0.3)
    parents, _, down = coarser(keys)
    neighbors, feats = neighbor_pairs(keys), torch.randn(len(keys), 3)
    for pairs, offsets, count in ((neighbors, 27, len(keys)), (down, 8, len(parents))):
        weight = torch.randn(offsets, 3, 5)
        ours, theirs = (conv(feats, weight, pairs, count) for conv in (sparse_conv, spconv_conv))
        torch.testing.assert_close(ours, theirs)
    weight, above = torch.randn(8, 3, 5), torch.randn(len(parents), 3)
    ours, theirs = (conv(above, weight, transposed(down), len(keys)) for conv in (sparse_conv, spconv_conv))
    torch.testing.assert_close(ours, theirs)


def test_a_missing_spconv_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "spconv", None)
    monkeypatch.setitem(sys.modules, "spconv.pytorch", None)
    net = SRUNet(**SMALL, **DECODER, backend="spconv")
    with pytest.raises(ImportError, match="backend='spconv' needs the spconv library"):
        net(torch.randn(1, 9, 3))


def test_clouds_do_not_see_each_other():
    """Two voxels at the ends of what a key can hold, in neighbouring clouds."""
    keys = voxel_keys(torch.tensor([[[0, 0, 31000]], [[0, 0, -31000]]])).flatten()
    pairs = neighbor_pairs(keys)
    assert [len(source) for source, _ in pairs] == [0] * 13 + [2] + [0] * 13
    _, there = find(keys, keys + shift((0, 0, 1)))
    assert not there.any()
    with pytest.raises(ValueError, match="40000 voxels from the origin"):
        voxel_keys(torch.tensor([[[0, 0, 40000]]]))


def test_pyramid_halves_to_the_depth_asked_for():
    levels = pyramid(voxel_keys(torch.tensor([[[-1, -1, -1], [0, 0, 0], [1, 1, 1]]]))[0], 3)
    assert [len(level.keys) for level in levels] == [3, 2, 2]  # cells on two sides of the origin stay apart
    assert levels[0].parent.tolist() == [0, 1, 1]
    assert levels[-1].down is None


def test_trilinear_reading_is_exact_for_a_linear_field():
    side = torch.arange(-4, 4)
    cells = torch.stack(torch.meshgrid(side, side, side, indexing="ij"), -1).reshape(1, -1, 3)
    keys = voxel_keys(cells)[0]
    order = keys.argsort()
    centers = (cells[0] + 0.5).double()
    field = centers @ torch.randn(3, 2, dtype=torch.float64)
    slope = torch.linalg.lstsq(centers, field).solution
    torch.manual_seed(0)
    place = torch.rand(1, 50, 3, dtype=torch.float64) * 6 - 3
    read = read_voxels(field[order], keys[order], place, "trilinear")
    torch.testing.assert_close(read, place @ slope)
    nearest = read_voxels(field[order], keys[order], place, "nearest")
    torch.testing.assert_close(nearest, (place.floor() + 0.5) @ slope)
    # a lone voxel says the same everywhere in it
    alone = read_voxels(
        torch.ones(1, 1), voxel_keys(torch.zeros(1, 1, 3))[0], torch.rand(1, 9, 3), "trilinear"
    )
    torch.testing.assert_close(alone, torch.ones(1, 9, 1))


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = SRUNet(**SMALL, **DECODER).double().eval()
    for module in net.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return net


def described(net, points):
    features = net(points)
    features["global_feats"] = features["point_feats"].amax(1)
    return features["point_feats"], net.local_feats(features)


def test_order_and_company_of_points_do_not_matter(net):
    points = torch.randn(3, 40, 3, dtype=torch.float64)
    whole, local = described(net, points)
    assert whole.shape == (3, 40, 16)
    assert local.shape == (3, 40, 5)
    order = torch.randperm(40)
    for ours, moved in zip((whole, local), described(net, points[:, order]), strict=True):
        torch.testing.assert_close(ours[:, order], moved)
    for ours, alone in zip((whole, local), described(net, points[1:2]), strict=True):
        torch.testing.assert_close(ours[1:2], alone)


def test_a_shift_by_the_coarsest_voxel_changes_nothing(net):
    """Coordinates in eighths are exact in binary, so that no point changes its voxel by rounding."""
    points = torch.randint(-16, 16, (2, 40, 3)).double() / 8
    moved = points + torch.tensor([1.0, -2, 3])
    for ours, theirs in zip(described(net, points), described(net, moved), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("interpolation", ["nearest", "trilinear"])
def test_every_parameter_learns_and_autocast_runs(interpolation):
    torch.manual_seed(0)
    net = SRUNet(in_channels=4, interpolation=interpolation, **SMALL, **DECODER)
    points = torch.randn(2, 30, 4)
    whole, local = described(net, points)
    (whole.mean() + local.square().mean()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    with torch.autocast("cpu", torch.bfloat16):
        assert all(out.isfinite().all() for out in described(net, points))


def test_without_a_decoder_it_classifies():
    head = {"type": "ClassificationHead", "num_classes": 3}
    backbone = {"type": "SRUNet", **SMALL, "decoder_channels": None}
    model = MODELS.build({"type": "PointModel", "backbone": backbone, "head": head})
    losses = model(mode="loss", points=torch.randn(4, 50, 3), label=torch.tensor([0, 1, 2, 0]))
    losses["loss_task"].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert model.backbone.local_channels is None
    with pytest.raises(ValueError, match="has no decoder"):
        described(model.backbone, torch.randn(1, 9, 3))


def test_the_defaults_are_those_of_res16unet34c():
    net = SRUNet()
    blocks = sum(len(stage.blocks) for stage in (*net.encoder, *net.decoder))
    assert (blocks, net.local_channels, net.fusion.linear.in_features) == (23, 96, 256)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"channels": (4, 4)}, "channels has 2 stages, blocks has 4"),
        ({"decoder_channels": (4, 4)}, "the decoder needs 4 stages"),
        ({"interpolation": "cubic"}, "choose nearest or trilinear"),
        ({"backend": "minkowski"}, "choose torch or spconv"),
        ({"voxel_size": 0}, "voxel_size must be above 0"),
    ],
)
def test_bad_arguments_say_why(options, reason):
    with pytest.raises(ValueError, match=reason):
        SRUNet(**options)
