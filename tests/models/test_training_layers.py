"""Layers that train faster: the values are those of torch's own."""

import copy

import pytest
import torch
from torch import nn

from pointmcd.models import MultiViewTeacher
from pointmcd.models.teachers.training_layers import ReLU6InPlace, StridedDepthwise, quicken_training


def gradients(network, x):
    """Return output, and gradients at the input and the weights, of a weighted sum of the outputs."""
    x = x.clone().requires_grad_()
    y = network(x * 1)
    weights = torch.linspace(-1, 1, y.numel()).bfloat16().to(y.dtype).view(y.shape)
    return [y.detach(), *torch.autograd.grad((y * weights).sum(), [x, *network.parameters()])]


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"), [(3, 2, 1, 1), (5, (2, 1), 2, 1), (3, 3, 0, 2)]
)
def test_a_strided_convolution_has_the_gradients_of_float64(size, kernel, stride, padding, dilation):
    torch.manual_seed(size)
    plain = nn.Conv2d(4, 4, kernel, stride, padding, dilation, groups=4, bias=False)
    x = torch.randn(2, 4, size, size + 1).bfloat16()
    plain.bfloat16()
    ours, truth = StridedDepthwise(plain), copy.deepcopy(plain).double()
    assert ours.weight is plain.weight
    for value, exact in zip(gradients(ours, x), gradients(truth, x.double()), strict=True):
        assert value.dtype == torch.bfloat16
        assert (value.double() - exact).norm() < 2**-7 * exact.norm()


def test_relu6_has_the_gradients_of_torch_up_to_the_bounds():
    x = torch.tensor([-1.0, 0.0, 1e-6, 3.0, 5.999, 6.0, 7.0])
    for value, exact in zip(gradients(ReLU6InPlace(), x), gradients(nn.ReLU6(), x), strict=True):
        assert torch.equal(value, exact)


def test_a_teacher_learns_what_it_learned(monkeypatch):
    """Weights have the same names and start; losses and gradients of MobileNetV2 are the same bits."""
    views, label = torch.randint(0, 256, (2, 2, 3, 32, 32), dtype=torch.uint8), torch.tensor([0, 2])

    def learned():
        torch.manual_seed(0)
        teacher = MultiViewTeacher(num_classes=3, channels=8).train()
        sum(teacher(mode="loss", views=views, label=label).values()).backward()
        return teacher, {name: one.grad for name, one in teacher.named_parameters()}

    ours, gradients = learned()
    kinds = [type(layer) for layer in ours.modules()]
    assert kinds.count(ReLU6InPlace) == 35
    assert kinds.count(StridedDepthwise) == 4
    monkeypatch.setattr("pointmcd.models.teachers.base.quicken_training", lambda network: None)
    plain, expected = learned()
    assert ours.state_dict().keys() == plain.state_dict().keys()
    assert gradients.keys() == expected.keys()
    assert all(torch.equal(gradients[name], one) for name, one in expected.items())


def test_other_layers_stay():
    network = nn.Sequential(nn.ReLU6(), nn.Conv2d(4, 4, 3, 2, groups=4), nn.Conv2d(4, 4, 3, 2, bias=False))
    watched = nn.ReLU6(inplace=True)
    watched.register_forward_hook(lambda *_: None)
    network.append(watched)
    layers = list(network)
    quicken_training(network)
    assert list(network) == layers
