"""Tests of projects have the fixtures of the package's tests, and import projects as configs do."""

import shutil
from pathlib import Path

import pytest
import torch

from tests.conftest import parts_set, shared, taught_set, tiny_meshes, tiny_set  # noqa: F401


@pytest.fixture(scope="session")
def cached_set(parts_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """Return a copy of ``parts_set`` with maps of a random network under the names that configs use."""
    from projects.mvnet.mvnet import ImageNetwork
    from projects.mvnet.mvnet.map_cache import write_maps

    root = tmp_path_factory.mktemp("maps") / "set"
    shutil.copytree(parts_set, root)
    torch.manual_seed(0)
    network = ImageNetwork("test_resnet", [1, 3], random_weights=True)
    for name in ("autoencoder", "mobilenetv2"):
        write_maps(network, root, name, stride=8, origin={"random": True})
    return root
