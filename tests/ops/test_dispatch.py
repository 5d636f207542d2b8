"""Which backend runs, and what is said where one cannot."""

import os
import subprocess
import sys

import pytest
import torch

from pointmcd import ops


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_backend_that_is_not_there_is_an_error():
    with ops.use_backend("fast"), pytest.raises(ValueError, match="choose torch, native or pycuda"):
        ops.knn(torch.rand(1, 5, 3), 2)
    status = ops.backends()
    for name in ("native", "pycuda"):
        if status[name].startswith("not available"):
            with ops.use_backend(name), pytest.raises(ValueError, match=f"{name}, but this backend is not"):
                ops.knn(torch.rand(1, 5, 3), 2)


def test_forced_from_the_environment_and_reported():
    out = python("from pointmcd.ops.__main__ import main; main()", POINTMCD_OPS="torch")
    assert out.returncode == 0, out.stderr
    lines = out.stdout.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["torch", "native", "pycuda"]
    kernels = {line.split()[0]: line.split()[1] for line in lines[5:]}
    # an operator that another test declared stays in this process
    own = [name for name in ops.runs_on("cpu") if not name.startswith("my_")]
    assert kernels == dict.fromkeys(own, "torch")


def test_without_the_library_torch_runs_and_says_so_once():
    code = """
import sys, warnings
sys.modules["pointmcd.ops.cpu.native"] = None  # as where the C++ was not built: importing it fails
import torch
from pointmcd import ops
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    ops.knn(torch.rand(1, 9, 3), 2)
    ops.farthest_point_sample(torch.rand(1, 9, 3), 2)
(message,) = [str(w.message) for w in caught]
assert message.startswith("pointmcd runs cpu tensors in plain torch, much slower than native"), message
assert ops.available("cpu") == ["torch"]
"""
    out = python(code)
    assert out.returncode == 0, out.stderr


@pytest.mark.skipif("native" not in ops.available("cpu"), reason="the C++ kernels are not built")
@pytest.mark.parametrize("capability", ["default", "avx2"])
def test_every_instruction_set_gives_the_same(capability, tmp_path):
    """Each library on its own: ``ATEN_CPU_CAPABILITY`` is what torch and our loader go by."""
    code = f"""
import sys, torch
sys.path.insert(0, {os.path.dirname(__file__)!r})
from test_kernels import everything
from pointmcd import ops
print(ops.backends()["native"])
torch.save(everything(), {str(tmp_path / "out.pt")!r})
"""
    out = python(code, ATEN_CPU_CAPABILITY=capability)
    assert out.returncode == 0, out.stderr
    if torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"):
        assert f"{capability} kernels" in out.stdout
    from test_kernels import everything

    for value, expected in zip(torch.load(tmp_path / "out.pt", weights_only=True), everything(), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
