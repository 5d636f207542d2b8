"""Memory by the resident set of the process; products of the other library by those in float64."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pointmcd import cpu
from pointmcd.cpu import keep_freed_memory, use_onednn_products


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
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


@pytest.fixture
def precision() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)


def test_products_stay_in_float32_whatever_computes_them(precision: None) -> None:
    taken = use_onednn_products()
    assert torch.get_float32_matmul_precision() == ("medium" if taken else "highest")
    a, b = (torch.randn(s, generator=torch.Generator().manual_seed(0)) for s in ((300, 512), (512, 200)))
    exact = a.double() @ b.double()
    assert (torch.mm(a, b) - exact).norm() < 1e-6 * exact.norm()


def test_a_library_that_rounds_is_not_taken(precision: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_is_intel", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_supported", lambda: True)
    monkeypatch.setattr(torch, "mm", lambda a, b: (a.bfloat16() @ b.bfloat16()).float())
    assert not use_onednn_products()
    assert torch.get_float32_matmul_precision() == "highest"
