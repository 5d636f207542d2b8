"""What malloc keeps, by the resident set of the process."""

import sys
from pathlib import Path

import pytest
import torch

from pointmcd.memory import keep_freed_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def test_memory_that_a_step_frees_stays_until_it_is_given_back() -> None:
    if not keep_freed_memory():
        pytest.skip("this malloc has no mallopt")
    try:
        tensor = torch.zeros(48, 2**18).add_(1)  # 48 MiB
        with_it = resident_mib()
        del tensor
        assert with_it - resident_mib() < 8
    finally:
        keep_freed_memory(False)
    assert with_it - resident_mib() > 40
