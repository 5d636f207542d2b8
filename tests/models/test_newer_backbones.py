"""PointNeXt, CurveNet and the transformer on patches: published sizes, and plain twins of their parts."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pointmcd import ops
from pointmcd.models.backbones import CurveNet, PointNeXt, PointTransformer, PointTransformerSeg
from pointmcd.models.backbones.curvenet import (
    CurveAggregation,
    CurveBlock,
    CurveWalk,
    LocalAggregation,
    onward,
    straight_through,
)
from pointmcd.models.backbones.point_transformer import PatchEmbedding
from pointmcd.models.backbones.pointnext import ResidualAbstraction
from pointmcd.models.teachers.trunks import build_trunk
from pointmcd.ops import reference


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def mlp_size(*widths, last_bias=True):
    """Linear layers without bias, batch norms between them."""
    pairs = list(pairwise(widths))
    return sum(i * o for i, o in pairs) + sum(2 * o for _, o in pairs[:-1]) + last_bias * widths[-1]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def test_pointnext_has_the_published_size():
    """1.374 M with the official head for ModelNet40 (the release's table; 1.4 M in the paper)."""
    assert count(PointNeXt()) + mlp_size(512, 512, 256, 40) == 1_373_512


def test_curvenet_has_the_published_size():
    """2.14 M with the official head for ModelNet40 (table 5 of the paper)."""
    assert round((count(CurveNet()) + mlp_size(2048, 512, 40)) / 1e6, 2) == 2.14


def test_point_transformer_has_the_published_size():
    """22.1 M with Point-BERT's head, but for what a student has instead of it."""
    backbone = PointTransformer()
    head = 768 * 256 + 256 + 256 * 40 + 40
    assert round((count(backbone) - count(backbone.fusion) + head) / 1e6, 1) == 22.1


def test_residual_abstraction_is_as_published():
    layer = ResidualAbstraction(5, 0.4, 6, (7, 8)).double().eval()
    xyz, feats = torch.rand(2, 20, 3).double(), torch.randn(2, 20, 5).double()
    centers, found, index = layer(xyz, feats)
    for cloud in range(2):
        for row in range(10):
            center = xyz[cloud, index[cloud, row]]
            torch.testing.assert_close(centers[cloud, row], center)
            near = (xyz[cloud] - center).norm(dim=1) <= 0.4
            near = near.nonzero()[:6, 0]
            x = torch.cat([(xyz[cloud, near] - center) / 0.4, feats[cloud, near]], 1)
            x = layer.ball.first(x)
            x = layer.ball.last.norm(layer.ball.last.linear(x)).amax(0)
            expected = (x + layer.skip(feats[cloud, index[cloud, row]])).relu()
            torch.testing.assert_close(found[cloud, row], expected)


def test_pointnext_keeps_a_16th():
    features = PointNeXt().eval()(torch.rand(1, 100, 3))
    assert features["point_index"].shape == (1, 6)  # 50, 25, 12, 6
    with pytest.raises(ValueError, match="needs at least 16, not 15"):
        PointNeXt()(torch.rand(1, 15, 3))


def test_straight_through_is_hard_with_a_soft_gradient():
    score = torch.tensor([[0.2, 1.0, -1.0]], dtype=torch.double, requires_grad=True)
    weight = torch.tensor([[1.0, 2.0, 4.0]], dtype=torch.double)
    choice = straight_through(score)
    torch.testing.assert_close(choice, torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.double))
    (gradient,) = torch.autograd.grad((choice * weight).sum(), score)
    (soft,) = torch.autograd.grad((score.softmax(-1) * weight).sum(), score)
    torch.testing.assert_close(gradient, soft)


def test_what_leads_back_counts_less():
    direction = torch.tensor([[[1.0, 0.0]]])
    steps = torch.tensor([[[[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [-1.0, 1.0], [0.0, 0.0]]]])
    expected = torch.tensor([[[1.0, 1.0, 0.0, 1 - 0.5**0.5, 1.0]]])
    torch.testing.assert_close(onward(direction, steps), expected)


def test_a_walk_step_by_step():
    """One curve at a time, by the paper's formulas, in eval mode."""
    walk = CurveWalk(4, curves=3, length=4).double().eval()
    x, xyz = torch.randn(2, 12, 4).double(), torch.rand(2, 12, 3).double()
    index = ops.knn(xyz, 6)[..., 1:]
    curves = walk(x, index)
    assert curves.shape == (2, 3, 4, 4)
    for cloud in range(2):
        gate = torch.sigmoid(walk.gate(x[cloud]))
        gated = x[cloud] * gate
        starts = gate[:, 0].argsort(descending=True)[:3]
        for curve, here in enumerate(starts.tolist()):
            walked, now = gated[here], None
            for step in range(4):
                if step:
                    share = walk.momentum(torch.cat([now, walked])[None])[0].softmax(0)
                    walked = share[0] * now + share[1] * walked
                near = index[cloud, here]
                scores = []
                for neighbor in near.tolist():
                    score = walk.agent(torch.cat([gated[neighbor], walked])[None])[0, 0]
                    if step:
                        cosine = F.cosine_similarity(now - walked, gated[neighbor] - now, dim=0)
                        score = score * (1 + cosine).clamp(0, 1)
                    scores.append(score)
                here = int(near[torch.stack(scores).argmax()])
                now = gated[here]
                torch.testing.assert_close(curves[cloud, curve, step], now)


def test_aggregation_is_attention_along_and_across_curves():
    layer = CurveAggregation(4).double().eval()
    x, curves = torch.randn(1, 5, 4).double(), torch.randn(1, 3, 6, 4).double()
    weight = layer.weigh(curves[0])[..., 0]
    along = torch.stack([(weight[n].softmax(0)[:, None] * curves[0, n]).sum(0) for n in range(3)])
    across = torch.stack(
        [(weight[:, step].softmax(0)[:, None] * curves[0, :, step]).sum(0) for step in range(6)]
    )
    along, across = layer.along_keys(along), layer.across_keys(across)
    for row in range(5):
        query = layer.queries(x[0, row])
        parts = [
            (keys @ query).softmax(0) @ values(keys)
            for keys, values in ((along, layer.along_values), (across, layer.across_values))
        ]
        expected = F.leaky_relu(x[0, row] + layer.merge(torch.cat(parts)[None])[0], 0.2)
        torch.testing.assert_close(layer(x, curves)[0, row], expected)


def test_local_aggregation_neighbour_by_neighbour():
    layer = LocalAggregation(4, 2).double().eval()
    xyz, x = torch.rand(1, 8, 3).double(), torch.randn(1, 8, 4).double()
    index = ops.knn(xyz, 3)
    found = layer(xyz, x, index)[0]
    for row in range(8):
        edges = []
        for near in index[0, row].tolist():
            place = torch.cat([xyz[0, row], xyz[0, near], xyz[0, near] - xyz[0, row]])
            offset = layer.offsets.norm(layer.offsets.linear(place)[None])
            edges.append(layer.mlp(F.leaky_relu(x[0, near] - x[0, row] + offset, 0.2))[0])
        torch.testing.assert_close(found[row], torch.stack(edges).mean(0))


@pytest.mark.parametrize("training", [True, False])
def test_gradients_of_a_curve_block(training):
    """Without curves, whose choice has no true gradient."""
    block = CurveBlock(4, 6, 3, bottleneck=2, layers=1).double().train(training)
    aggregation = CurveAggregation(4).double().train(training)
    xyz = torch.rand(2, 6, 3).double()
    x = torch.randn(2, 6, 4).double().requires_grad_()
    curves = torch.randn(2, 2, 3, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: block(xyz, x), x)
    assert torch.autograd.gradcheck(aggregation, (x, curves))


def test_curves_need_points_to_start_from():
    with pytest.raises(ValueError, match="100 curves need that many points to start from, not 64"):
        CurveNet().eval()(torch.rand(1, 64, 3))
    with pytest.raises(ValueError, match="need at least 32 points, not 31"):
        CurveNet()(torch.rand(1, 31, 3))
    with pytest.raises(ValueError, match="have 4, 4, 3 and 4 levels"):
        CurveNet(radii=(0.1, 0.1, 0.1))


@pytest.mark.parametrize("training", [True, False])
def test_patch_embedding_is_the_concatenated_form(training):
    """[patch feature, point feature] for every point, then a plain layer."""
    embedding = PatchEmbedding(3, 16).double().train(training)
    twin = PatchEmbedding(3, 16).double().train(training)
    twin.load_state_dict(embedding.state_dict())
    patches = torch.randn(2, 5, 7, 3).double()
    x = twin.second(twin.first(patches))
    x = torch.cat([x.amax(2, keepdim=True).expand_as(x), x], -1)
    expected = twin.last(twin.third.norm_act(twin.third.linear(x))).amax(2)
    torch.testing.assert_close(embedding(patches), expected)
    torch.testing.assert_close(dict(embedding.named_buffers()), dict(twin.named_buffers()))


def test_patches_are_the_nearest_points_seen_from_their_centres():
    backbone = PointTransformer(in_channels=4, size="tiny", depth=1, num_patches=4, patch_size=5).eval()
    seen = {}
    backbone.embedding.register_forward_pre_hook(lambda module, args: seen.update(patches=args[0]))
    points = torch.rand(2, 30, 4)
    index = backbone.encode(points)["point_index"]
    for cloud in range(2):
        for patch, row in enumerate(index[cloud].tolist()):
            center = points[cloud, row, :3]
            near = (points[cloud, :, :3] - center).norm(dim=1).argsort()[:5]
            expected = points[cloud, near].clone()
            expected[:, :3] -= center
            found = seen["patches"][cloud, patch]
            torch.testing.assert_close(found[found[:, 0].argsort()], expected[expected[:, 0].argsort()])


def test_tokens_go_through_the_blocks_with_their_places():
    """All blocks written out, against ViT's formula."""
    backbone = PointTransformer(size="tiny", depth=2, num_patches=4, patch_size=5).double().eval()
    points = torch.rand(1, 20, 3).double()
    features = backbone.encode(points)
    centers = points[0, features["point_index"][0]]
    near = torch.cdist(centers, points[0]).argsort(1)[:, :5]
    tokens = backbone.lift(backbone.embedding((points[0, near] - centers[:, None])[None]))[0]
    x = torch.cat([backbone.class_token[0], tokens])
    place = torch.cat([backbone.class_position[0], backbone.position(centers)])
    for block in backbone.blocks:
        x = x + place
        q, k, v = block.attn.qkv(block.norm1(x)).view(5, 3, 3, 64).permute(1, 2, 0, 3)
        mixed = (q @ k.mT / 8).softmax(-1) @ v
        x = x + block.attn.proj(mixed.transpose(0, 1).reshape(5, 192))
        x = x + block.mlp.fc2(F.gelu(block.mlp.fc1(block.norm2(x))))
    x = backbone.norm(x)
    expected = torch.cat([x[1:], x[:1].expand(4, -1)], 1)
    torch.testing.assert_close(features["hidden"][0], expected)


def test_segmentation_interpolates_three_depths():
    backbone = PointTransformerSeg(
        size="tiny", depth=7, num_patches=6, patch_size=5, propagation=(8, 4)
    ).eval()
    assert backbone.after == [1, 3, 6]
    assert PointTransformerSeg(size="tiny").after == [3, 7, 11]  # as in Point-BERT and Point-MAE
    points = torch.rand(1, 20, 3)
    features = backbone(points)
    (_, own), (centers, tokens) = features["levels"]
    assert tokens.shape == (1, 6, 3 * 192)
    torch.testing.assert_close(tokens[..., -192:], features["hidden"][..., :192])
    x = torch.cat([own, reference.interpolate(points, centers, tokens)], -1)
    torch.testing.assert_close(
        backbone.local_feats(features), backbone.propagation.rest(backbone.propagation.first(x))
    )


def test_blocks_of_an_image_network():
    trunk = build_trunk("vit_tiny_patch16_224")
    backbone = PointTransformer(size="tiny", depth=3, num_patches=4, patch_size=4)
    before = backbone.lift.weight.clone()
    backbone.load_image_blocks(trunk.state_dict(), "vit")
    for number in range(3):
        theirs = nn.ModuleList(trunk.blocks)[number].state_dict()
        ours = backbone.blocks[number].state_dict()
        assert theirs.keys() == ours.keys()
        assert all(torch.equal(ours[key], value) for key, value in theirs.items())
    assert torch.equal(backbone.lift.weight, before)
    with pytest.raises(ValueError, match="vit has no blocks for this PointTransformer"):
        PointTransformer(size="small", depth=1).load_image_blocks(trunk.state_dict(), "vit")


def test_what_does_not_fit_is_said():
    with pytest.raises(ValueError, match="not 5 of 101"):
        CurveWalk(4, 5, 101)
    with pytest.raises(ValueError, match="num_patches is 5000"):
        PointTransformer(size="tiny", depth=1, num_patches=5000)
    with pytest.raises(ValueError, match="choose tiny or small"):
        PointTransformer(size="huge")
    with pytest.raises(ValueError, match=r"need at least \d+ points, not 40"):
        PointTransformer(size="tiny", depth=1)(torch.rand(1, 40, 3))
    with pytest.raises(ValueError, match="at least 3 blocks"):
        PointTransformerSeg(size="tiny", depth=2)
