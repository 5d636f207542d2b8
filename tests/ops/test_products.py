"""Mixed precision: products of inputs in bfloat16, all else in float32, against the formulas in float64."""

import warnings

import pytest
import torch

from pointmcd import ops
from pointmcd.engine import AutocastOptimWrapper
from pointmcd.models import PointModel
from pointmcd.models.teachers import MultiViewTeacher
from pointmcd.models.teachers.frozen import FrozenTrunk
from pointmcd.ops import products, reference
from tests.ops.test_ops import CASES, randn, run

WITH_PRODUCTS = [c for c in CASES if c.startswith(("linear_norm", "norm_act_linear", "edge", "pool_after"))]
TOLERANCE = {"out": 0.01, "gradient": 0.06}  # of the norm; bfloat16 rounds to 2 ** -9 = 0.002


def here(device: str) -> None:
    """Skip where the device has no products in bfloat16."""
    if not ops.has_bfloat16(device):
        pytest.skip("no products in bfloat16 here")


@pytest.mark.parametrize("case", WITH_PRODUCTS)
def test_autocast_is_near_float64(device, case):
    """Norm of the difference by norm. Gradients jump where rounding makes another point the largest."""
    here(device)
    exact = run(reference, case, "cpu", torch.float64)
    with torch.autocast(device, torch.bfloat16):
        found = run(ops, case, device, torch.float32)
    for name, value in found.items():
        limit = TOLERANCE["gradient" if name.startswith("d") else "out"]
        assert (value - exact[name]).norm() <= limit * exact[name].norm(), name


@pytest.mark.parametrize("case", WITH_PRODUCTS)
def test_autocast_takes_any_strides(device, case):
    here(device)
    with torch.autocast(device, torch.bfloat16):
        dense = run(ops, case, device, torch.float32)
        strided = run(ops, case, device, torch.float32, lambda t: torch.stack([t, -t], -1)[..., 0])
    for name, value in strided.items():
        torch.testing.assert_close(
            value, dense[name], rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_linear_rounds_its_inputs_only(device):
    """The result of exact products of rounded inputs, added up in float32; gradients too."""
    here(device)
    if device == "cuda":
        pytest.skip("autocast's own linear layer, whose result is rounded")
    x, weight = (randn(*s, seed=1).float().requires_grad_() for s in ((64, 3, 128), (96, 128)))
    with torch.autocast(device, torch.bfloat16):
        y = ops.linear(x, weight)
    grad = randn(*y.shape, seed=2).float()
    found = [y, *torch.autograd.grad(y, [x, weight], grad)]
    r = [t.detach().bfloat16().double() for t in (x, weight, grad)]
    exact = [r[0] @ r[1].T, r[2] @ r[1], r[2].flatten(0, 1).T @ r[0].flatten(0, 1)]
    for one, other in zip(found, exact, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one.double(), other, rtol=0, atol=1e-5 * other.abs().max().item())


def test_empty_input(device):
    with torch.autocast(device, torch.bfloat16):
        assert ops.linear(torch.zeros(0, 5, device=device), torch.zeros(7, 5, device=device)).shape == (0, 7)


def test_precision_outside_stays_as_it_was():
    before = torch.get_float32_matmul_precision()
    with products.rounded_inputs(True):
        assert torch.get_float32_matmul_precision() == "medium"
    assert torch.get_float32_matmul_precision() == before


@pytest.fixture
def without_bfloat16(monkeypatch):
    monkeypatch.setattr(products, "has_bfloat16", lambda device_type, of_images=False: False)
    products.takes_bfloat16.cache_clear()
    yield
    products.takes_bfloat16.cache_clear()


def test_without_such_a_processor_training_stays_in_float32_and_says_so_once(without_bfloat16):
    layer = torch.nn.Linear(3, 2)
    wrapper = AutocastOptimWrapper(torch.optim.SGD(layer.parameters(), 0.1))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            with wrapper.optim_context(layer):
                assert layer(torch.zeros(1, 3)).dtype == torch.float32
    assert ["training stays in float32" in str(w.message) for w in caught] == [True]


def test_images_may_take_bfloat16_where_point_networks_do_not(monkeypatch):
    monkeypatch.setattr(products, "has_bfloat16", lambda device_type, of_images=False: of_images)
    products.takes_bfloat16.cache_clear()
    teacher = MultiViewTeacher(4, "test_resnet", channels=8)
    student = PointModel({"type": "PointNet"}, {"type": "ClassificationHead", "num_classes": 4})
    for model, enabled in ((teacher, True), (student, False)):
        wrapper = AutocastOptimWrapper(torch.optim.SGD(model.parameters(), 0.1))
        with wrapper.optim_context(model):
            assert torch.is_autocast_enabled("cpu") == enabled
    products.takes_bfloat16.cache_clear()


def test_without_such_a_processor_a_frozen_network_stays_in_float32_and_says_so(without_bfloat16):
    plain = {"random_weights": True, "input_size": 0, "normalization": "unit"}
    with pytest.warns(UserWarning, match="test_resnet runs in float32"):
        trunk = FrozenTrunk("test_resnet", **plain, precision="bfloat16")
    assert trunk.settings == FrozenTrunk("test_resnet", **plain).settings  # the features are the same ones
    trunk.hasten()
    assert {weight.dtype for weight in trunk.parameters()} == {torch.float32}
