"""Furnished rooms for the tests of detection."""

import pytest

from projects.mvnet.tools import make_rooms, prepare_detection


@pytest.fixture(scope="session")
def room_set(tmp_path_factory):
    """Three furnished rooms, rendered and prepared by the tools, 256 points each."""
    root = tmp_path_factory.mktemp("furnished")
    make_rooms.main(["--furnished", "--out", f"{root}/raw", "--train", "2", "--test", "1", "--frames", "6"])
    prepare_detection.main(f"--source {root}/raw --out {root}/set --points 256 --every 1 --stride 4".split())
    return root / "set"
