"""The operations of image networks on rows in bfloat16, against float64 of the same numbers."""

import pytest
import torch

from pointmcd import ops
from pointmcd.ops import reference


def randn(*shape, seed=0):
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return values.bfloat16()


def results(function, inputs, seed):
    leaves = [one.clone().requires_grad_() for one in inputs]
    out = function(*leaves)
    return [out.detach(), *torch.autograd.grad(out, leaves, randn(*out.shape, seed=seed).to(out.dtype))]


@pytest.mark.parametrize("act", [(0.0, 6.0), (0.0, None), (1.0, None)], ids=["ReLU6", "ReLU", "none"])
@pytest.mark.parametrize("shape", [(3, 5, 5, 40), (700, 19)])
def test_norm_rounds_once(device, shape, act):
    x = randn(*shape) * 4 + 1
    weight, bias = (randn(shape[-1], seed=seed).float() for seed in (1, 2))
    keywords = {"training": True, "negative_slope": act[0]} | ({"ceiling": act[1]} if act[1] else {})

    def ours(x, weight, bias):
        return ops.batch_norm_act(x, weight, bias, running.to(device), running.to(device), **keywords)

    def exact(x, weight, bias):
        statistics = running.double(), running.double()
        return reference.batch_norm_act(x, weight, bias, *statistics, **keywords)

    running = torch.ones(shape[-1])
    found = results(ours, [one.to(device) for one in (x, weight, bias)], 3)
    expected = results(exact, [one.double() for one in (x, weight, bias)], 3)
    assert [one.dtype for one in found] == [torch.bfloat16] * 2 + [torch.float32] * 2
    for value, truth, unit in zip(found, expected, (2**-9, 2**-8, 1e-5, 1e-5), strict=True):
        assert (value.double().cpu() - truth).norm() <= unit * truth.norm()
    # each output is the number in bfloat16 that is nearest, but for those that lie between two
    assert (found[0].cpu() != expected[0].bfloat16()).double().mean() < 0.01


@pytest.mark.parametrize(("side", "stride"), [(3, 1), (3, 2), (5, 2)])
@pytest.mark.parametrize("channels", [16, 40, 7])
def test_gradients_of_a_depthwise_convolution(device, channels, side, stride):
    inputs = randn(18, 9, 20, channels), randn(channels, 1, side, side, seed=1)
    geometry = (stride, stride), (side // 2, side // 2)
    found = results(lambda *one: ops.depthwise_conv(*one, *geometry), [one.to(device) for one in inputs], 2)
    expected = results(
        lambda *one: reference.depthwise_conv(*one, *geometry), [one.double() for one in inputs], 2
    )
    for value, truth in zip(found, expected, strict=True):
        assert value.dtype == torch.bfloat16
        assert (value.double().cpu() - truth).norm() <= 2**-8 * truth.norm()


def test_threads_change_nothing():
    inputs = randn(18, 9, 20, 40), randn(40, 1, 3, 3, seed=1)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            rows = inputs[0].requires_grad_()
            y = ops.depthwise_conv(rows, inputs[1].requires_grad_(), (1, 1), (1, 1))
            found.append(torch.autograd.grad(y, (rows, inputs[1]), torch.ones_like(y)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


def test_errors():
    x, weight = torch.zeros(2, 4, 4, 3), torch.zeros(3, 1, 3, 3)
    with pytest.raises(ValueError, match=r"shape \(3, 1, K, K\) with K 3 or 5, got \(3, 1, 4"):
        ops.depthwise_conv(x, torch.zeros(3, 1, 4, 4))
    with pytest.raises(ValueError, match="x and weight must have one dtype"):
        ops.depthwise_conv(x, weight.double())
    with pytest.raises(ValueError, match=r"got torch\.float16"):
        ops.depthwise_conv(x.half(), weight.half())
