"""The pycuda backend on a real device: ``pytest -m cuda``, which runs the operations' own tests there too."""

import importlib
from collections.abc import Callable

import pytest
import torch

from pointmcd import ops
from pointmcd.ops import dispatch, reference
from pointmcd.ops.cuda import device as cuda_device
from pointmcd.ops.cuda import kernels, launch

STATUS = ops.backends()["pycuda"]


def on_gpu(test: Callable[..., None]) -> Callable[..., None]:
    return pytest.mark.cuda(pytest.mark.skipif(not STATUS.startswith("ready"), reason=STATUS)(test))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_the_reason_is_given():
    with pytest.raises(ImportError, match="no CUDA device"):
        importlib.import_module("pointmcd.ops.cuda.backend")
    assert STATUS == "not available: no CUDA device, or a torch that was built without CUDA"


@on_gpu
def test_every_kernel_is_there():
    assert set(ops.runs_on("cuda").values()) <= {"pycuda", "torch"}
    for name in dispatch._TORCH_FORMS:
        assert (ops.runs_on("cuda")[name] == "pycuda") == hasattr(kernels, name)


@on_gpu
def test_launches_are_in_order_on_any_stream():
    visibility = torch.randint(0, 8, (16, 1024), dtype=torch.int32, device="cuda")
    expected = None
    for stream in (torch.cuda.default_stream(), torch.cuda.Stream(), torch.cuda.Stream()):
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            feats = torch.ones(16, 1024, 512, device="cuda").cumsum_(1)  # long before it is ready
            pooled = ops.visibility_pool(feats, visibility, 3) * 2
        stream.synchronize()
        expected = pooled if expected is None else expected
        assert torch.equal(pooled, expected)


@on_gpu
def test_every_device_of_a_process():
    for device in range(torch.cuda.device_count()):
        points = torch.rand(2, 300, 3, generator=torch.Generator().manual_seed(0))
        index = ops.knn(points.to(f"cuda:{device}"), 8)
        assert index.device.index == device
        assert torch.equal(index.cpu(), reference.knn(points, 8))
    with pytest.raises(ValueError, match="one device"):
        kernels.affine_act(points.cuda(0), torch.ones(3), torch.ones(3), 0.0)


@on_gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_halves_are_those_of_the_torch_form(dtype):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 200, 64, generator=generator).to("cuda", dtype)
    norm = [torch.ones(64, device="cuda"), torch.zeros(64, device="cuda")] * 2
    weight = torch.randn(32, 128, generator=generator).to("cuda", dtype) / 8
    narrow = [v[:32] for v in norm]
    neighbors = ops.knn(x.float(), 10)
    results = []
    for backend in ("pycuda", "torch"):
        with ops.use_backend(backend):
            out = ops.edge_conv(x, neighbors, weight, *(v.clone() for v in narrow), training=True)
            results.append((out, ops.batch_norm_act(x, *(v.clone() for v in norm), training=True)))
    for one, other in zip(*results, strict=True):
        assert one.dtype == dtype
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.05)


@on_gpu
def test_more_than_2_to_the_31_elements():
    points, channels = 2**21 + 7, 1024
    if torch.cuda.get_device_properties(0).total_memory < 24 * 2**30:
        pytest.skip("needs 24 GiB of device memory")
    feats = torch.zeros(1, points, channels, dtype=torch.bfloat16, device="cuda")
    feats[0, -1, -1] = 1
    visibility = torch.full((1, points), 1, dtype=torch.int32, device="cuda")
    pooled, source = kernels.visibility_pool(feats, visibility, 1, 1)
    assert pooled[0, 0].sum() == pooled[0, 0, -1] == 1
    assert source[0, 0, -1] == points - 1
    grad = kernels.visibility_pool_backward(pooled, source, points)
    assert grad[0, -1, -1] == 1
    assert kernels.channel_sums(feats[0])[:, -1].tolist() == [1, 1]


@on_gpu
def test_the_compilers_errors_are_shown(monkeypatch):
    from pycuda.driver import CompileError

    monkeypatch.setattr(cuda_device, "source_text", lambda *_: "this is no kernel")
    with pytest.raises(CompileError, match="error"):
        launch.run("norm", "none", torch.float32, (("VEC", 1),), 1, 1, torch.zeros(1, device="cuda"))
