"""The official outputs, and how near to them the converted networks must come in float64."""

import zlib
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pointmcd.models.official import NETWORKS, convert
from pointmcd.registry import MODELS

OUTPUT_TOLERANCE = 1e-6  # of the array's largest magnitude
LOSS_TOLERANCE = 1e-6
GRADIENT_TOLERANCE = 1e-5
CANCELLED = 1e-9  # gradient of a parameter that batch norm cancels


def weights(keys: dict[str, list[int]]) -> dict[str, Tensor]:
    """The weights that the rule of the parity data gives to each key."""
    state = {}
    for key, shape in keys.items():
        r = np.random.default_rng(zlib.crc32(key.encode()))
        if key.endswith("num_batches_tracked"):
            value = np.zeros(shape, np.int64)
        elif key.endswith("running_var"):
            value = r.uniform(0.5, 1.5, shape)
        elif key.endswith("running_mean"):
            value = 0.1 * r.standard_normal(shape)
        elif len(shape) >= 2:
            value = r.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        elif key.endswith("bias"):
            value = 0.1 * r.standard_normal(shape)
        else:
            value = 1 + 0.6 * r.standard_normal(shape)
        state[key] = torch.from_numpy(np.asarray(value))
    return state


def build(config: dict[str, Any], state: dict[str, Tensor], training: bool) -> torch.nn.Module:
    model = MODELS.build(config).double()
    model.load_state_dict(convert(state)[1])
    return model.train(training)


def expected_of(outputs: Any, prefix: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(prefix): outputs[key] for key in outputs.files if key.startswith(prefix)}


def assert_close(actual: Tensor, expected: np.ndarray, name: str) -> None:
    error = np.abs(actual.detach().numpy() - expected).max() / np.abs(expected).max()
    assert error < OUTPUT_TOLERANCE, f"{name}: off by {error:.1e} of the largest magnitude"


def assert_loss(actual: Tensor, expected: np.ndarray, name: str) -> None:
    assert float(actual.detach()) == pytest.approx(float(expected), rel=LOSS_TOLERANCE), name


def assert_gradients(model: torch.nn.Module, state: dict[str, Tensor], official: dict[str, float]) -> None:
    """Compare the norm of the gradient of every official parameter with ours, and leave out none of ours."""
    names = NETWORKS[convert(state)[0]]
    ours = {
        name: float(parameter.grad.norm())
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    compared = set()
    for key, norm in official.items():
        module, _, tensor = key.rpartition(".")
        name = f"{names[module]}.{tensor}"
        compared.add(name)
        if name.endswith("linear.bias"):  # moved into the running mean: no parameter here, no gradient there
            assert name not in ours
            assert norm < CANCELLED, key
        else:
            assert ours[name] == pytest.approx(norm, rel=GRADIENT_TOLERANCE, abs=CANCELLED), key
    assert ours.keys() <= compared
