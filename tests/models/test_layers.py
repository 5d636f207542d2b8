"""Layers in rows layout against torch's own and against the papers' formulas."""

import pytest
import torch
import torch.nn.functional as F

from pointmcd import ops
from pointmcd.models.layers import (
    BatchNorm,
    EdgeConv,
    EdgeMLP,
    FeaturePropagation,
    LinearNormAct,
    SetAbstraction,
    shared_mlp,
)
from pointmcd.ops import reference


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def randomize(module):
    """Norm scales of both signs, running statistics away from their start."""
    for layer in module.modules():
        if isinstance(layer, BatchNorm):
            torch.nn.init.normal_(layer.weight)
            torch.nn.init.normal_(layer.bias)
            torch.nn.init.normal_(layer.running_mean)
            torch.nn.init.uniform_(layer.running_var, 0.5, 1.5)
    return module.double()


def gradients(module, loss):
    return torch.autograd.grad(loss, list(module.parameters()), allow_unused=True)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_is_torchs(training):
    ours = randomize(BatchNorm(5)).train(training)
    torchs = torch.nn.BatchNorm1d(5).double().train(training)
    torchs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 7, 5, dtype=torch.double)
    target = torch.randn_like(x)

    y = ours(x)
    expected = torchs(x.flatten(0, 1)).view_as(x)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(
        gradients(ours, (y * target).sum()), gradients(torchs, (expected * target).sum())
    )
    for name, value in torchs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, msg=name)


def test_batch_norm_is_accurate_on_many_rows():
    norm = BatchNorm(4)
    x = 1 + 0.5 * torch.randn(200_000, 4)
    expected = F.batch_norm(x.double(), None, None, training=True)
    assert (norm(x) - expected).abs().max() < 5e-6  # torch's own kernel in this layout: 2e-4


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
def test_linear_norm_act_is_its_three_parts(slope):
    layer = randomize(LinearNormAct(4, 6, bias=True, negative_slope=slope)).eval()
    x = torch.randn(2, 5, 4, dtype=torch.double)
    norm = layer.norm
    normed = F.batch_norm(
        layer.linear(x).flatten(0, 1), norm.running_mean, norm.running_var, norm.weight, norm.bias
    )
    torch.testing.assert_close(layer(x), F.leaky_relu(normed, slope).view(2, 5, 6))


@pytest.mark.parametrize("slope", [0.0, 0.2])
@pytest.mark.parametrize("training", [True, False])
def test_pool_is_the_pooled_layer(training, slope):
    layer = randomize(LinearNormAct(4, 16, negative_slope=slope)).train(training)
    twin = LinearNormAct(4, 16, negative_slope=slope).double().train(training)
    twin.load_state_dict(layer.state_dict())
    x = torch.randn(3, 9, 4, dtype=torch.double)
    visibility = torch.randint(0, 2**5, (3, 9), dtype=torch.int32)
    visibility[0] &= ~1  # view 0 sees no point

    pooled = layer.pool(x, visibility, 5)
    expected = ops.visibility_pool(twin(x), visibility, 5, with_global=True)
    target = torch.randn_like(pooled)
    torch.testing.assert_close(pooled, expected)
    torch.testing.assert_close(
        gradients(layer, (pooled * target).sum()), gradients(twin, (expected * target).sum())
    )
    torch.testing.assert_close(dict(layer.named_buffers()), dict(twin.named_buffers()))
    torch.testing.assert_close(layer.eval().pool(x), layer(x).amax(1, keepdim=True))


def test_pool_refuses_a_bias():
    with pytest.raises(ValueError, match="without bias"):
        LinearNormAct(4, 4, bias=True).pool(torch.randn(2, 3, 4))


def test_shared_mlp_chains_widths():
    mlp = shared_mlp(3, 8, 5)
    assert [(layer.linear.in_features, layer.linear.out_features) for layer in mlp] == [(3, 8), (8, 5)]
    assert len(shared_mlp(3)) == 0


def edges_of(x, k):
    """[x_i, x_j - x_i] for the k nearest j, (B, N, k, 2 C)."""
    near = torch.cdist(x, x).topk(k, largest=False).indices
    x_j = torch.stack([cloud[index] for cloud, index in zip(x, near, strict=True)])
    x_i = x.unsqueeze(2).expand_as(x_j)
    return torch.cat([x_i, x_j - x_i], -1)


def test_edge_conv_is_the_papers():
    layer = randomize(EdgeConv(3, 6, k=4)).eval()
    x = torch.randn(2, 12, 3, dtype=torch.double)
    edges = LinearNormAct.forward(layer, edges_of(x, 4))
    torch.testing.assert_close(layer(x), edges.amax(2))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("channels", [(6, 5), (6, 4, 5)])
def test_edge_mlp_is_the_papers(channels, training):
    """Every edge goes through the whole MLP, then the maximum; gradients and running statistics too."""
    layer = randomize(EdgeMLP(3, channels, k=4)).train(training)
    twin = EdgeMLP(3, channels, k=4).double().train(training)
    twin.load_state_dict(layer.state_dict())
    x = torch.randn(2, 12, 3, dtype=torch.double)

    out = layer(x)
    expected = twin.last(twin.middle(twin.first(edges_of(x, 4)))).amax(2)
    target = torch.randn_like(out)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(
        gradients(layer, (out * target).sum()), gradients(twin, (expected * target).sum())
    )
    torch.testing.assert_close(dict(layer.named_buffers()), dict(twin.named_buffers()))


def test_edge_mlp_needs_two_layers():
    with pytest.raises(ValueError, match=r"at least two layers, not channels=\(8,\)"):
        EdgeMLP(3, (8,), k=4)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("coarse", [1, 2, 9])
def test_feature_propagation_is_the_papers(coarse, training):
    """Interpolate, concatenate, then the whole MLP; gradients and running statistics too."""
    layer = randomize(FeaturePropagation(4, 5, (7, 6))).train(training)
    twin = FeaturePropagation(4, 5, (7, 6)).double().train(training)
    twin.load_state_dict(layer.state_dict())
    xyz = torch.randn(2, 12, 3, dtype=torch.double)
    feats = torch.randn(2, 12, 4, dtype=torch.double, requires_grad=True)
    far = torch.randn(2, coarse, 5, dtype=torch.double, requires_grad=True)

    out = layer(xyz, feats, xyz[:, :coarse] + 0.1, far)
    interpolated = reference.interpolate(xyz, xyz[:, :coarse] + 0.1, far)
    expected = twin.rest(twin.first(torch.cat([feats, interpolated], -1)))
    target = torch.randn_like(out)
    torch.testing.assert_close(out, expected)
    for inputs in ((feats, far), None):
        ours, theirs = (
            torch.autograd.grad((y * target).sum(), inputs or list(module.parameters()), retain_graph=True)
            for y, module in ((out, layer), (expected, twin))
        )
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(dict(layer.named_buffers()), dict(twin.named_buffers()))


def test_feature_propagation_gradcheck():
    layer = randomize(FeaturePropagation(2, 3, (4,))).eval()
    xyz = torch.randn(1, 6, 3, dtype=torch.double)
    feats = torch.randn(1, 6, 2, dtype=torch.double, requires_grad=True)
    far = torch.randn(1, 4, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f, g: layer(xyz, f, xyz[:, :4], g), (feats, far))


def set_abstraction(feats=2):
    scales = [
        {"radius": 0.5, "k": 4, "channels": (5, 6)},
        {"radius": 1.0, "k": 8, "channels": (4, 5, 7)},
    ]
    return SetAbstraction(feats, 6, scales)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("width", [0, 2])
def test_set_abstraction_is_the_papers(training, width):
    """Each group is gathered, centred and put through the whole MLP, as PointNet++ describes it."""
    layer = randomize(set_abstraction(width)).train(training)
    xyz = torch.rand(2, 40, 3, dtype=torch.double) * 2 - 1
    feats = torch.randn(2, 40, width, dtype=torch.double)
    state = {name: value.clone() for name, value in layer.state_dict().items()}
    centers, out, index = layer(xyz, feats)
    assert index[:, 0].eq(0).all()
    torch.testing.assert_close(centers, torch.stack([c[i] for c, i in zip(xyz, index, strict=True)]))

    layer.load_state_dict(state)
    expected = []
    for scale in layer.scales:
        groups = []
        for cloud, cloud_feats, cloud_centers in zip(xyz, feats, centers, strict=True):
            for center in cloud_centers:
                near = [i for i, p in enumerate(cloud) if (p - center).norm() <= scale.radius][: scale.k]
                near += [near[0]] * (scale.k - len(near))
                groups.append(torch.cat([cloud[near] - center, cloud_feats[near]], -1))
        x = scale.last(scale.middle(scale.first(torch.stack(groups))))
        expected.append(x.amax(1).view(2, 6, -1))
    torch.testing.assert_close(out, torch.cat(expected, -1))


def test_set_abstraction_names_too_few_points():
    with pytest.raises(ValueError, match=r"keeps 6 points, but is given 5; lower num_points"):
        set_abstraction()(torch.randn(1, 5, 3), torch.randn(1, 5, 2))
