"""Layers that train faster: the values are those of torch's own."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

from pointmcd.models import MultiViewTeacher
from pointmcd.models.teachers.training_layers import quicken_training


def learned(monkeypatch=None):
    """A small teacher after one step, and the gradients; with a monkeypatch by torch's own layers."""
    if monkeypatch is not None:
        monkeypatch.setattr("pointmcd.models.teachers.base.quicken_training", lambda network: None)
    views = torch.randint(0, 256, (4, 2, 3, 64, 64), dtype=torch.uint8, generator=torch.manual_seed(1))
    torch.manual_seed(0)
    teacher = MultiViewTeacher(num_classes=3, channels=8).train()
    losses = teacher(mode="loss", views=views, label=torch.tensor([0, 2, 1, 1]))
    sum(losses.values()).backward()
    return teacher, {name: one.grad for name, one in teacher.named_parameters()}


def difference(gradients, exact):
    """Of all gradients together; those of a scale before another norm are sums of nothing but rounding."""
    ours, truth = (torch.cat([one.flatten() for one in kind.values()]) for kind in (gradients, exact))
    return float((ours - truth).norm() / truth.norm())


def test_a_teacher_learns_what_it_learned(monkeypatch):
    """Names and start are the same; losses, gradients and statistics of MobileNetV2 are those of torch."""
    (ours, gradients), (plain, expected) = learned(), learned(monkeypatch)
    quick = [layer for layer in ours.modules() if isinstance(layer.__dict__.get("forward"), partial)]
    assert [type(layer).__name__ for layer in quick].count("BatchNormAct2d") == 52
    assert len(quick) == 52 + 17
    assert not any("forward" in layer.__dict__ for layer in plain.modules())
    assert gradients.keys() == expected.keys()
    # rounding moves some numbers over a bound of ReLU6, in 52 layers one after another
    assert difference(gradients, expected) < 0.2
    state = plain.state_dict()
    assert ours.state_dict().keys() == state.keys()
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=1e-4, atol=1e-5)


def test_gradients_in_bfloat16_are_those_of_float32_rounded():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 24, 1, bias=False), nn.BatchNorm2d(24)]
    layers += [nn.Conv2d(24, 24, 3, 2, 1, groups=24, bias=False), nn.BatchNorm2d(24), nn.Conv2d(24, 5, 1)]
    plain = nn.Sequential(*layers).to(memory_format=torch.channels_last)
    network = copy.deepcopy(plain)
    quicken_training(network)
    x = torch.randn(8, 3, 16, 16).to(memory_format=torch.channels_last)
    weights = torch.randn(8, 5, 8, 8)
    (plain(x) * weights).sum().backward()
    with torch.autocast("cpu", torch.bfloat16):
        (network(x) * weights).sum().backward()
    ours, exact = ({n: p.grad for n, p in one.named_parameters()} for one in (network, plain))
    assert difference(ours, exact) < 0.01


@pytest.mark.parametrize("mode", [True, False])
def test_a_copy_works_by_itself(mode):
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8)).to(memory_format=torch.channels_last)
    quicken_training(network)
    other = copy.deepcopy(network).train(mode)
    network.train(mode)
    x = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    network(x)
    assert torch.equal(other[1].running_mean, torch.zeros(8))
    expected = nn.functional.batch_norm(
        other[0](x), torch.zeros(8), torch.ones(8), other[1].weight, other[1].bias, mode
    )
    torch.testing.assert_close(other(x), expected)
    assert other[1].num_batches_tracked == network[1].num_batches_tracked == int(mode)


def test_other_layers_stay():
    network = nn.Sequential(
        nn.ReLU6(inplace=True),
        nn.Conv2d(4, 4, 3, 2, groups=4),
        nn.Conv2d(4, 4, 3, 2, bias=False),
        nn.Conv2d(4, 4, 7, groups=4, bias=False),
        nn.Conv2d(4, 4, 3, groups=4, bias=False, dilation=2),
        nn.BatchNorm2d(4, affine=False),
        nn.BatchNorm2d(4, momentum=None),
        nn.BatchNorm1d(4),
    )
    quicken_training(network)
    assert not any("forward" in layer.__dict__ for layer in network)
