"""Fixtures of the tests of faults."""

import tarfile
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cases(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small failing inputs of ../shared/cases, unpacked."""
    archive = shared / "cases" / "inputs.tar.xz"
    if not archive.is_file():
        pytest.skip("needs ../shared/cases/inputs.tar.xz")
    folder = tmp_path_factory.mktemp("inputs")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    return folder / "cases"
