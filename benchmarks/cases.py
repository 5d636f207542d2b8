"""What is measured: sizes, the official path, ours, and the work that no implementation can leave out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import official
import torch
from torch import Tensor, nn

from pointmcd import ops
from pointmcd.batch import Batch, PointFeatures, TeacherRows
from pointmcd.datasets.preparation.writer import EncodedShape, SplitWriter, seal
from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.datasets.teacher_cache import TeacherCacheWriter
from pointmcd.models.backbones import DGCNN, PointNet, PointNet2
from pointmcd.models.heads import ClassificationHead, ViewDistillationHead
from pointmcd.models.layers import EdgeConv, EdgeMLP
from pointmcd.models.necks import VAFP

VIEWS, CLASSES, DESCRIPTOR = 12, 40, 512
Run = Callable[[], Any]


@dataclass
class Case:
    """One row of the table for each way of doing the same.

    Attributes:
        what: Name of the operation.
        size: Its size, in the letters of the project.
        official: The official path.
        ours: The same by ``pointmcd``, on whatever backend is in force.
        floor: Work that cannot be left out (bytes moved, products computed), in torch's own kernels; or None.
        samples: Clouds that one run handles, for rates; 0 where a rate says nothing.
        mixed: Ours with mixed precision, as ``--amp`` has it; or None.
    """

    what: str
    size: str
    official: Run
    ours: Run
    floor: Run | None = None
    samples: int = 0
    mixed: Run | None = None


def forward_backward(function: Callable[[], Tensor], leaves: list[Tensor]) -> Run:
    """Run ``function`` and the backward pass from a fixed gradient to the leaves."""
    out = function()
    gradient = torch.randn(out.shape, generator=torch.Generator().manual_seed(0)).to(out)

    def run() -> list[Tensor]:
        out = function()
        return [out.detach(), *torch.autograd.grad(out, leaves, gradient)]

    return run


def masks(batch: int, points: int, device: str, share: float = 0.45) -> tuple[Tensor, Tensor]:
    """Return which of 12 views see a point: 0 and 1 (B, N, V) float32, and bits (B, N) int32."""
    visible = torch.rand(batch, points, VIEWS, device=device) < share
    bits = (visible.int() << torch.arange(VIEWS, device=device, dtype=torch.int32)).sum(-1, dtype=torch.int32)
    return visible.float(), bits


def visibility_pool(device: str, batch: int) -> Case:
    feats = torch.randn(batch, 1024, 1024, device=device).relu_().requires_grad_()
    visible, bits = masks(batch, 1024, device)
    gradient = torch.empty_like(feats)
    return Case(
        "visibility pooling",
        f"B={batch} N=1024 C=1024 V={VIEWS}",
        forward_backward(lambda: official.visibility_pool(feats, visible), [feats]),
        forward_backward(lambda: ops.visibility_pool(feats, bits, VIEWS), [feats]),
        lambda: (feats.detach().amax(1), gradient.zero_()),
    )


def edge_conv(device: str, batch: int, channels: int, out: int) -> Case:
    layer = EdgeConv(channels, out, 20).to(device)
    nn.init.normal_(layer.norm.weight)
    x = torch.randn(batch, 1024, channels, device=device).requires_grad_()
    neighbors = ops.knn(x, 20)
    leaves = [x, *layer.parameters()]
    weight, rows = torch.randn(2 * out, channels, device=device), x.detach().view(-1, channels)

    def ours() -> Tensor:
        return layer.norm.run(ops.edge_conv, x, neighbors, layer.linear.weight, negative_slope=0.2)

    def floor() -> None:
        y = rows @ weight.T
        y.T @ rows, y @ weight

    return Case(
        f"EdgeConv {channels}-{out}",
        f"B={batch} N=1024 k=20",
        forward_backward(lambda: official.edge_conv(x, neighbors, layer), leaves),
        forward_backward(ours, leaves),
        floor,
    )


def edge_mlp(device: str, batch: int, points: int, k: int) -> Case:
    """Time two layers on the edges, as part segmentation has them, with their graph."""
    mlp = EdgeMLP(64, (64, 64), k).to(device)
    x = torch.randn(batch, points, 64, device=device).requires_grad_()
    leaves = [x, *mlp.parameters()]
    return Case(
        "kNN and EdgeConv 64-64-64",
        f"B={batch} N={points} k={k}",
        forward_backward(lambda: official.edge_conv(x, official.knn(x, k), mlp.first, mlp.last), leaves),
        forward_backward(lambda: mlp(x), leaves),
    )


def knn(device: str, batch: int, channels: int) -> Case:
    points = torch.randn(batch, 1024, channels, device=device)
    buffer = torch.empty(batch, 1024, 1024, device=device)
    return Case(
        f"kNN D={channels}",
        f"B={batch} N=1024 k=20",
        lambda: official.knn(points, 20),
        lambda: ops.knn(points, 20),
        lambda: torch.bmm(points, points.transpose(1, 2), out=buffer),
    )


def sample(device: str, batch: int, points: int, count: int) -> Case:
    cloud = torch.randn(batch, points, 3, device=device)
    cloud /= cloud.norm(dim=-1, keepdim=True)
    return Case(
        "farthest point sampling",
        f"B={batch} N={points} to {count}",
        lambda: official.farthest_point_sample(cloud, count),
        lambda: ops.farthest_point_sample(cloud, count),
    )


def ball_query(device: str, batch: int) -> Case:
    points = torch.randn(batch, 1024, 3, device=device)
    points /= points.norm(dim=-1, keepdim=True)
    centers = points[:, :512].contiguous()
    return Case(
        "ball query",
        f"B={batch} N=1024 M=512 r=0.2 k=32",
        lambda: official.ball_query(points, centers, 0.2, 32),
        lambda: ops.ball_query(points, centers, 0.2, 32),
    )


def interpolate(device: str, batch: int) -> Case:
    points = torch.randn(batch, 2048, 3, device=device)
    known, feats = points[:, ::4].contiguous(), torch.randn(batch, 512, 256, device=device)
    out = torch.empty(batch, 2048, 256, device=device)
    return Case(
        "3-NN interpolation",
        f"B={batch} Q=2048 M=512 C=256",
        lambda: official.interpolate(points, known, feats),
        lambda: ops.interpolate(points, known, feats),
        lambda: out.fill_(1),
    )


def distillation_step(device: str, batch: int, name: str, lr: float = 0.01) -> Case:
    """Return a training step of PointMCD: backbone, VAFP, both heads, backward, SGD."""
    torch.manual_seed(0)
    backbone = {"PointNet": PointNet, "DGCNN": DGCNN, "PointNet++ SSG": PointNet2}[name]()
    head = ClassificationHead(backbone.out_channels, CLASSES)
    distill = ViewDistillationHead(backbone.out_channels, DESCRIPTOR)
    parts = nn.ModuleList([backbone, head, distill]).to(device)
    neck = VAFP(VIEWS)
    optimizer = torch.optim.SGD(parts.parameters(), lr, momentum=0.9)
    points = torch.randn(batch, 1024, 3, device=device)
    points /= points.norm(dim=-1, keepdim=True)
    visible, bits = masks(batch, 1024, device)
    data: Batch = {"label": torch.randint(0, CLASSES, (batch,), device=device)}
    teacher: TeacherRows = {"view_descriptors": torch.rand(batch, VIEWS, DESCRIPTOR, device=device)}

    def official_pools() -> tuple[Tensor, Tensor]:
        seen = visible
        if isinstance(backbone, PointNet):
            feats = official.pointnet(backbone, points)
        elif isinstance(backbone, DGCNN):
            feats = official.dgcnn(backbone, points)
        else:
            feats, index = official.pointnet2(backbone, points)
            seen = official.index_points(visible, index)
        return official.visibility_pool(feats, seen), feats.max(1).values

    def our_pools() -> tuple[Tensor, Tensor]:
        features = backbone.encode(points)
        pooled = neck.pool_hidden(features["hidden"], backbone.fusion, bits, features["point_index"])
        return pooled[:, :-1], pooled[:, -1]

    def step(pools: Callable[[], tuple[Tensor, Tensor]], mixed: bool = False) -> Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=mixed):
            views, whole = pools()
            features: PointFeatures = {"view_feats": views, "global_feats": whole}
            features.update(head(features))
            losses = head.loss(features, data) | distill.loss(features, teacher)
            loss = torch.stack([value.float() for value in losses.values()]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return Case(
        f"{name} distillation step",
        f"B={batch} N=1024 V={VIEWS}",
        lambda: step(official_pools),
        lambda: step(our_pools),
        samples=batch,
        mixed=(lambda: step(our_pools, mixed=True)) if ops.has_bfloat16(device) else None,
    )


def read_batch(folder: Path, batch: int) -> Case:
    """Return points, masks and teacher rows of a batch, from text files or a prepared set and a cache."""
    rng = np.random.default_rng(0)
    sizes = ((1024, 3), (1024, VIEWS), (DESCRIPTOR,), (VIEWS, DESCRIPTOR), (CLASSES,), (VIEWS, CLASSES))
    texts = [folder / f"{i}.txt" for i in range(len(sizes))]
    for path, size in zip(texts, sizes, strict=True):
        np.savetxt(path, rng.random(size))
    root, shapes = folder / "set", 256
    writer = SplitWriter(root / "train", [f"shape_{i}" for i in range(shapes)], [0] * shapes)
    for _ in range(shapes):
        points = rng.random((2048, 3), np.float32)
        writer.add(EncodedShape({"points": points, "visibility": rng.integers(0, 2**VIEWS, 2048, np.uint32)}))
    writer.close()
    header = {"class_names": ["a"], "part_names": None, "num_views": VIEWS, "points": {"num_points": 2048}}
    seal(root, header | {"views": None, "visibility": "ray", "splits": {"train": shapes}})
    cache = TeacherCacheWriter(root, "teacher")
    cache.write_split("train", [{"view_descriptors": torch.rand(shapes, VIEWS, DESCRIPTOR)}])
    cache.finish({"accuracy": {}})
    dataset = PreparedShapes(str(root), "train", visibility=True, teacher="teacher")
    rows = rng.permutation(shapes)[:batch].tolist()

    def read_texts() -> None:
        for _ in range(batch):
            for path in texts:
                torch.from_numpy(np.loadtxt(path, dtype=np.float32))

    return Case(
        "reading a batch", f"B={batch} N=1024 V={VIEWS}", read_texts, lambda: dataset.__getitems__(rows)
    )


def all_cases(device: str, quick: bool, folder: Path) -> Iterator[Callable[[], Case]]:
    """Yield the cases of a device, each made in its turn; ``folder`` takes the files of the last one."""
    batch = 8 if quick else 24
    for size in (8,) if device == "cpu" else (24, 64, 256):
        yield partial(visibility_pool, device, size)
    for channels, out in ((3, 64), (64, 64), (64, 128), (128, 256)):
        yield partial(edge_conv, device, 8 if device == "cpu" else 32, channels, out)
    yield partial(edge_mlp, device, 2 if device == "cpu" else 32, 2048, 40)
    for channels in (3, 64, 128):
        yield partial(knn, device, batch, channels)
    yield partial(sample, device, batch, 1024, 512)
    yield partial(sample, device, 1, 100_000, 1024)
    yield partial(ball_query, device, batch)
    yield partial(interpolate, device, batch)
    for name in ("PointNet", "DGCNN", "PointNet++ SSG"):
        yield partial(distillation_step, device, 8 if device == "cpu" else 32, name)
    if device == "cpu":
        yield partial(read_batch, folder, 8)
