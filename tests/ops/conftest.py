"""The backends that are here, each as a device that tests run on."""

import pytest
import torch

from pointmcd import ops

BACKENDS = [pytest.param(("cpu", name), id=f"cpu-{name}") for name in ops.available("cpu")] + [
    pytest.param(("cuda", name), marks=pytest.mark.cuda, id=f"cuda-{name}")
    for name in (ops.available("cuda") if torch.cuda.is_available() else [])
]


@pytest.fixture(params=BACKENDS)
def device(request: pytest.FixtureRequest):
    """The device of a backend, which is in force during the test."""
    name, backend = request.param
    with ops.use_backend(backend):
        yield name
