"""Tests of projects have the fixtures of the package's tests, and import projects as configs do."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from tests.conftest import parts_set, shared, taught_set, tiny_meshes, tiny_set  # noqa: F401
