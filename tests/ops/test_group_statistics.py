"""Statistics summed over a process group: two gloo ranks with a share of the batch each are one with all."""

import os
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from pointmcd import ops
from pointmcd.compat import mend_torchvision
from pointmcd.models.layers.norm import synchronize

CHANNELS, OUT = 6, 9
NAMES = ("batch_norm_act", "edge_conv", "linear_norm_pool", "BatchNorm2d", "BatchNormAct2d")

IMAGE_NORMS = ("BatchNorm2d", "BatchNormAct2d")


def data() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "x": torch.randn(4, 30, CHANNELS, generator=generator, dtype=torch.float64),
        "weight": torch.randn(OUT, 2 * CHANNELS, generator=generator, dtype=torch.float64),
        "neighbors": torch.randint(0, 30, (4, 30, 5), generator=generator),
        "visibility": torch.randint(0, 8, (4, 30), generator=generator).int(),
    }


def run(name: str, part: slice, group: dist.ProcessGroup | None) -> dict[str, torch.Tensor]:
    """Output, gradient at x, gradients of the parameters and running statistics for a part of the batch."""
    tensors = data()
    x = tensors["x"][part].requires_grad_()
    if name in IMAGE_NORMS:
        return run_of_images(image_norm(name), x)
    channels = CHANNELS if name == "batch_norm_act" else OUT
    generator = torch.Generator().manual_seed(1)
    scale, shift = torch.randn(2, channels, generator=generator, dtype=torch.float64).unbind()
    leaves = [x, scale.requires_grad_(), shift.requires_grad_()]
    mean, var = torch.zeros(channels, dtype=torch.float64), torch.ones(channels, dtype=torch.float64)
    norm = (scale, shift, mean, var)
    if name == "batch_norm_act":
        out = ops.batch_norm_act(x, *norm, training=True, group=group)
    elif name == "edge_conv":
        leaves.append(weight := tensors["weight"].requires_grad_())
        out = ops.edge_conv(x, tensors["neighbors"][part], weight, *norm, training=True, group=group)
    else:
        leaves.append(weight := tensors["weight"][:, :CHANNELS].contiguous().requires_grad_())
        visibility = tensors["visibility"][part]
        out = ops.linear_norm_pool(x, weight, *norm, visibility, 3, training=True, group=group)
    dx, *parameters = torch.autograd.grad(out.square().sum(), leaves)
    return {"out": out.detach(), "dx": dx, "mean": mean, "var": var} | {
        f"parameter {i}": gradient for i, gradient in enumerate(parameters)
    }


def image_norm(name: str) -> torch.nn.BatchNorm2d:
    if name == "BatchNorm2d":
        return torch.nn.BatchNorm2d(CHANNELS).double()
    mend_torchvision()  # timm imports it
    from timm.layers import BatchNormAct2d

    return BatchNormAct2d(CHANNELS).double()


def run_of_images(norm: torch.nn.BatchNorm2d, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """The same of a layer of others; without a process group it is theirs alone."""
    assert synchronize(norm)
    out = norm(x.transpose(1, 2).unflatten(2, (5, 6)))
    dx, *parameters = torch.autograd.grad(out.square().sum(), [x, norm.weight, norm.bias])
    assert norm.num_batches_tracked == 1
    assert torch.equal(norm.eval()(out), type(norm).forward(norm, out))
    return {"out": out.detach(), "dx": dx, "mean": norm.running_mean, "var": norm.running_var} | {
        f"parameter {i}": gradient for i, gradient in enumerate(parameters)
    }


def rank(index: int, port: int, folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=index, world_size=2)
    # unequal shares: statistics are those of all rows, not the mean of the ranks' own
    part = slice(0, 1) if index == 0 else slice(1, 4)
    torch.save({name: run(name, part, dist.group.WORLD) for name in NAMES}, f"{folder}/{index}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    folder = str(tmp_path_factory.mktemp("ranks"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(rank, args=(port, folder), nprocs=2)
    return [torch.load(f"{folder}/{index}.pt", weights_only=True) for index in (0, 1)]


@pytest.mark.parametrize("name", NAMES)
def test_two_ranks_are_one(ranks, name):
    expected = run(name, slice(None), None)
    first, second = ranks[0][name], ranks[1][name]
    for key, value in expected.items():
        if key in ("out", "dx"):
            joined = torch.cat([first[key], second[key]])
        elif key in ("mean", "var"):
            torch.testing.assert_close(first[key], second[key], rtol=0, atol=0)
            joined = first[key]
        else:
            joined = first[key] + second[key]
        torch.testing.assert_close(joined, value, rtol=1e-10, atol=1e-11, msg=lambda m, k=key: f"{k}: {m}")
