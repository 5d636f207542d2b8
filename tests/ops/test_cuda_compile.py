"""Every CUDA kernel compiles without a warning for the A100 (sm_80) and, in each type, the H200 (sm_90)."""

import shutil
import subprocess

import cuda_host
import pytest
import torch

from pointmcd.ops.cuda import source

HALVES = (torch.bfloat16, torch.float16)
SIZES = {
    "edge": {},
    "knn": dict(BLOCK=128, EXPANDED=1),
    "norm": {},
    "pool": dict(VIEWS=13, SLICES=4),
    "rows": dict(WEIGHTED=1),
    "sample": dict(BLOCK=256, EACH=4, K=3),
}
SPATIAL = {"knn", "sample"}  # halves are widened before these


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc")
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize("file", cuda_host.FILES)
def test_compiles(tmp_path, file, architecture):
    wide = (torch.float32, torch.float64) if architecture == "sm_90" else (torch.float32,)
    for dtype in (*wide, *(() if file in SPATIAL else HALVES)):
        width = 4 if file == "knn" else 16 // dtype.itemsize
        sizes = {"VEC": min(width, 4) if file in ("pool", "edge") else width, **SIZES[file]}
        path = tmp_path / f"{dtype}.cu"
        path.write_text(source.source_text(file, dtype, tuple(sizes.items())))
        command = [
            "nvcc",
            "-cubin",
            f"-arch={architecture}",
            *source.NVCC_OPTIONS,
            "-o",
            tmp_path / "cubin",
            path,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert not done.stderr
