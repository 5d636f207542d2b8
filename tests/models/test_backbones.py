"""One contract, tested on every registered backbone."""

import inspect

import pytest
import torch

from pointmcd.models import backbones
from pointmcd.models.backbones import DGCNN, PointBackbone, PointNet, PointNet2, PointNet2Seg
from pointmcd.models.backbones.pointnet import orthogonality
from pointmcd.ops import reference
from pointmcd.registry import MODELS

BACKBONES = sorted(
    name
    for name, value in vars(backbones).items()
    if inspect.isclass(value) and issubclass(value, PointBackbone) and MODELS.get(name) is value
)
# N is 96 here, too few for what is made for 1024 points
SMALL = {
    "DGCNN": {"k": 8},
    "DGCNNSeg": {"k": 8},
    "PointNet2": {"num_points": (48, 16)},
    "PointNet2MSG": {"num_points": (48, 16)},
    "PointNet2Seg": {"num_points": (48, 16)},
    "PointNet2SegMSG": {"num_points": (48, 16)},
    "CurveNet": {"k": 4, "curves": ((8, 3), (8, 3), None, None)},
    "CurveNetSeg": {
        "k": 4,
        "curves": ((8, 3), (8, 3), None, None),
        "strides": (1, 2, 4, 4),
        "radii": (0.05, 0.05, 0.05, 0.1),
    },
    "PointTransformer": {"size": "tiny", "depth": 3, "num_patches": 16, "patch_size": 8, "drop_path": 0.0},
    "PointTransformerSeg": {"size": "tiny", "depth": 3, "num_patches": 16, "patch_size": 8, "drop_path": 0.0},
}


@pytest.fixture(params=BACKBONES)
def name(request):
    return request.param


def build(name, **options):
    torch.manual_seed(0)
    return MODELS.build({"type": name, **SMALL.get(name, {}), **options}).double()


def cloud(batch=2, channels=3):
    generator = torch.Generator().manual_seed(1)
    points = torch.rand(batch, 96, channels, dtype=torch.double, generator=generator)
    return 0.6 * points - 0.3  # PointNet++'s smallest balls hold neighbours, its largest are not full


def features_of(backbone, points):
    """All that a model asks of a backbone."""
    features = backbone(points)
    features["global_feats"] = features["point_feats"].amax(1)
    features["local_feats"] = backbone.local_feats(features)
    return features


def loss_of(features):
    said = [features[name] for name in ("global_feats", "local_feats") if name in features]
    return sum(feats.square().mean() for feats in said) + sum(features["losses"].values())


def test_all_are_here():
    names = {"DGCNN", "DGCNNSeg", "PointNet", "PointNet2", "PointNet2MSG", "PointNet2Seg", "PointNet2SegMSG"}
    names |= {
        f"{name}{kind}" for name in ("PointNeXt", "CurveNet", "PointTransformer") for kind in ("", "Seg")
    }
    assert names <= set(BACKBONES)


def test_contract(name):
    backbone = build(name)
    features = backbone(cloud())
    assert features.keys() >= {"hidden", "point_feats", "point_index", "losses"}
    feats, index = features["point_feats"], features["point_index"]
    assert feats.dtype == torch.double
    assert feats.shape[0] == 2
    assert feats.shape[2] == backbone.out_channels
    assert (feats >= 0).all()
    assert (feats > 0).any()
    if index is None:
        assert feats.shape[1] == 96
    else:
        assert index.shape == feats.shape[:2]
        assert all(row.unique().numel() == row.numel() and row.min() >= 0 and row.max() < 96 for row in index)
    for key, value in features["losses"].items():
        assert key.startswith("loss_")
        assert value.ndim == 0


def test_local_feats(name):
    backbone = build(name).eval()
    features = features_of(backbone, cloud())
    local = features["local_feats"]
    assert local.shape == (2, 96, backbone.local_channels)
    assert local.dtype == torch.double
    if not backbone.local_needs_point_feats:
        del features["point_feats"]
        assert torch.equal(backbone.local_feats(features), local)


@pytest.mark.parametrize("name", ["PointNet2", "PointNeXt", "CurveNet", "PointTransformer"])
def test_levels_without_a_decoder_are_interpolated(name):
    backbone = build(name).eval()
    features = features_of(backbone, cloud())
    _, *levels = features["levels"]
    expected = [reference.interpolate(cloud(), *level) for level in levels]
    torch.testing.assert_close(features["local_feats"], torch.cat(expected, -1))


def test_a_backbone_without_levels_has_no_local_features():
    features = build("PointNet")(cloud())
    with pytest.raises(NotImplementedError, match="PointNet has no local features"):
        PointBackbone.local_feats(build("PointNet"), features)


def test_forward_is_encode_and_fusion(name):
    backbone = build(name).eval()
    features, encoded = backbone(cloud()), backbone.encode(cloud())
    assert torch.equal(features["point_feats"], backbone.fusion(encoded["hidden"]))


def test_eval_is_deterministic_and_clouds_are_independent(name):
    backbone = build(name).eval()
    both, again, alone = backbone(cloud()), backbone(cloud()), backbone(cloud()[1:])
    assert torch.equal(both["point_feats"], again["point_feats"])
    torch.testing.assert_close(both["point_feats"][1:], alone["point_feats"])


def test_order_of_points_does_not_matter(name):
    """Features move with their points. Point 0 stays first, since PointNet++ samples from it."""
    backbone = build(name).eval()
    order = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(95)])
    before, after = features_of(backbone, cloud()), features_of(backbone, cloud()[:, order])
    if before["point_index"] is None:
        torch.testing.assert_close(after["point_feats"], before["point_feats"][:, order])
    else:
        assert torch.equal(order[after["point_index"]], before["point_index"])
        torch.testing.assert_close(after["point_feats"], before["point_feats"])
    if "local_feats" in before:
        torch.testing.assert_close(after["local_feats"], before["local_feats"][:, order])


def test_every_parameter_gets_a_gradient(name):
    backbone = build(name).eval()  # in training, batch norm cancels some
    loss_of(features_of(backbone, cloud())).backward()
    for key, parameter in backbone.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key


def test_training_step_lowers_the_loss(name):
    backbone = build(name)
    points = cloud(4)
    before = loss_of(features_of(backbone, points))
    gradients = torch.autograd.grad(before, list(backbone.parameters()))
    size = torch.stack([gradient.square().sum() for gradient in gradients]).sum()
    step = 1e-5 if name.startswith("CurveNet") else 1e-3  # a curve takes another way after a longer one
    with torch.no_grad():
        for parameter, gradient in zip(backbone.parameters(), gradients, strict=True):
            parameter -= step * before / size * gradient  # should lower the loss by that share
    drop = (before - loss_of(features_of(backbone, points))) / before
    assert step / 2 < drop < 2 * step


def test_more_channels_than_coordinates(name):
    backbone = build(name, in_channels=6).eval()
    points = cloud(channels=6)
    feats = backbone(points)["point_feats"]
    points[..., 5] += 1
    assert not torch.allclose(backbone(points)["point_feats"], feats)


def test_wrong_shapes_are_named(name):
    with pytest.raises(ValueError, match=rf"{name} takes points of shape \(B, N, 3\), not \(2, 96, 6\)"):
        build(name)(cloud(channels=6))
    with pytest.raises(ValueError, match="in_channels is 2"):
        build(name, in_channels=2)


def test_bfloat16_autocast_stays_near(name):
    backbone = build(name).float()
    points = cloud(4).float()
    exact = backbone(points)["point_feats"].amax(1)
    with torch.autocast("cpu", torch.bfloat16):
        features = features_of(backbone, points)
        pooled = features["global_feats"].float()
    loss_of(features).backward()
    similarity = torch.nn.functional.cosine_similarity(exact, pooled)
    assert (similarity > 0.95).all()
    assert all(parameter.grad.isfinite().all() for parameter in backbone.parameters())


def test_tnet_regulariser():
    matrices = torch.stack([torch.eye(4), 2 * torch.eye(4)])  # 0, and 3 on each of 4 diagonal places
    assert orthogonality(matrices) == pytest.approx(3.0)
    assert "loss_tnet" not in PointNet(tnet_reg_weight=0)(cloud().float())["losses"]
    one, two = (build("PointNet", tnet_reg_weight=w).eval()(cloud())["losses"]["loss_tnet"] for w in (1, 2))
    torch.testing.assert_close(2 * one, two)


@pytest.mark.parametrize(
    ("tnet", "widths"),
    [("official", (3, 64, 64, 256, 64, 64, 9)), ("original", (3, 64, 128, 1024, 512, 256, 9))],
)
def test_tnet_widths(tnet, widths):
    tnet = PointNet(tnet=tnet).point_tnet
    layers = [layer for layer in tnet.modules() if isinstance(layer, torch.nn.Linear)]
    assert (layers[0].in_features, *(layer.out_features for layer in layers)) == widths


def test_unknown_tnet():
    with pytest.raises(ValueError, match="choose official or original"):
        PointNet(tnet="thin")


def test_too_few_points_are_named():
    with pytest.raises(ValueError, match="keeps 512 points, but is given 96"):
        PointNet2().double()(cloud())
    with pytest.raises(ValueError, match="got 20"):
        DGCNN().double()(cloud()[:, :19])


def test_pointnet2_propagates_as_published():
    """From the global feature down: interpolate, concatenate, MLP; all in the plain form."""
    backbone = build("PointNet2Seg").eval()
    features = features_of(backbone, cloud())
    (xyz, _), (xyz1, feats1), (xyz2, feats2) = features["levels"]
    tiled = features["global_feats"].unsqueeze(1).expand(-1, 16, -1)
    x = torch.cat([feats2, tiled], -1)
    x = backbone.propagation[0].rest(backbone.propagation[0].first(x))
    x = torch.cat([feats1, reference.interpolate(xyz1, xyz2, x)], -1)
    x = backbone.propagation[1].rest(backbone.propagation[1].first(x))
    x = torch.cat([xyz, reference.interpolate(xyz, xyz1, x)], -1)
    x = backbone.propagation[2].rest(backbone.propagation[2].first(x))
    torch.testing.assert_close(features["local_feats"], x)


def test_pointnet2_levels_must_agree():
    with pytest.raises(ValueError, match="propagation has 2 levels, but num_points needs 3"):
        PointNet2Seg(propagation=((8,), (8,)))
    with pytest.raises(ValueError, match="num_points has 1 levels, scales has 2"):
        PointNet2(num_points=(64,))


# npoint, radius, nsample and mlp of each level in github.com/charlesq34/pointnet2, models/
RELEASE = {
    "PointNet2": [(512, [(0.2, 32, (64, 64, 128))]), (128, [(0.4, 64, (128, 128, 256))])],  # cls_ssg
    "PointNet2MSG": [  # cls_msg
        (512, [(0.1, 16, (32, 32, 64)), (0.2, 32, (64, 64, 128)), (0.4, 128, (64, 96, 128))]),
        (128, [(0.2, 32, (64, 64, 128)), (0.4, 64, (128, 128, 256)), (0.8, 128, (128, 128, 256))]),
    ],
    "PointNet2Seg": [(512, [(0.2, 64, (64, 64, 128))]), (128, [(0.4, 64, (128, 128, 256))])],  # part_seg
    "PointNet2SegMSG": [  # part_seg_msg_one_hot
        (512, [(0.1, 32, (32, 32, 64)), (0.2, 64, (64, 64, 128)), (0.4, 128, (64, 96, 128))]),
        (128, [(0.4, 64, (128, 128, 256)), (0.8, 128, (128, 196, 256))]),
    ],
}


@pytest.mark.parametrize("name", RELEASE)
def test_the_defaults_of_pointnet2_are_those_of_the_release(name):
    levels = []
    for level in MODELS.build({"type": name}).levels:
        scales = [
            (ball.radius, ball.k, tuple(module.out_features for module in linears(ball)))
            for ball in level.scales
        ]
        levels.append((level.num_points, scales))
    assert levels == RELEASE[name]


def linears(module):
    return [child for child in module.modules() if isinstance(child, torch.nn.Linear)]
