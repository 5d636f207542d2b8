"""The failing inputs of ../shared/cases: a folder each, which holds one file."""

from pathlib import Path

import pytest

from pointmcd.apis.files import read_shape
from pointmcd.geometry import MeshError


def given_file(cases: Path, name: str) -> Path:
    (path,) = (cases / name).iterdir()
    return path


def check_refused(cases: Path, name: str, reason: str) -> None:
    """The file is refused for that reason (a regular expression), by a message that names it."""
    path = given_file(cases, name)
    with pytest.raises(MeshError, match=reason) as error:
        read_shape(path)
    assert str(path) in str(error.value)
