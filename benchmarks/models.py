#!/usr/bin/env python
"""Parameters, FLOPs, and clouds a second of every student, backbone and head; see --help.

FLOPs are those of the forward pass of one cloud as it is computed here, two for a product and its sum: linear
layers, convolutions and attention, not the search for neighbours, norms or activations. Clouds a second are
by CPU time of one thread, the best round. Each is measured for a second, two rounds at least.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from pointmcd.models import PointModel
from pointmcd.models.backbones import PointBackbone
from pointmcd.registry import MODELS

TASKS = {"classification": 1024, "parts": 2048}
"""Points of a cloud."""
CLASSES, CATEGORIES, PARTS = 40, 16, 50
Shape = tuple[int, ...]
SECONDS, FEWEST_ROUNDS = 1.0, 2
POINTNET2_PARTS = {"use_global": False, "category_channels": 0, "channels": (128,), "negative_slope": 0.0}
PART_HEADS: dict[str, dict[str, Any]] = {
    "PointNet": {"category_channels": 0, "channels": (512, 256, 128), "dropout": 0.0, "negative_slope": 0.0},
    "PointNet2Seg": POINTNET2_PARTS,
    "PointNet2SegMSG": POINTNET2_PARTS,
}
"""What the configs give these students; the others have the head's defaults."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=4, help="clouds (default 4)")
    parser.add_argument("--only", default="", help="students with this in their name")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for task, points in TASKS.items():
        print(f"\n{task}: {args.batch} clouds of {points} points\n")
        print("| student | parameters | GFLOPs | training clouds/s | inference clouds/s |")
        print("|---|---|---|---|---|")
        for name in students(task):
            if args.only in name:
                print(f"{name} ...", file=sys.stderr, flush=True)
                torch.manual_seed(0)
                print(row(name, task, args.batch), flush=True)


def students(task: str) -> Iterator[str]:
    """Yield the names of the registered backbones of a task."""
    for name, kind in sorted(MODELS.module_dict.items()):
        if isinstance(kind, type) and issubclass(kind, PointBackbone):
            for_parts = "Seg" in name
            if for_parts == (task == "parts") or name == "PointNet":
                yield name


def build(name: str, task: str, **options: Any) -> PointModel:
    """Make the student of a task; ``options`` are the backbone's."""
    head: dict[str, Any] = {"type": "ClassificationHead", "num_classes": CLASSES}
    if task == "parts":
        head = {"type": "PartSegmentationHead", "num_classes": CATEGORIES, "num_parts": PARTS}
        head |= PART_HEADS.get(name, {})
    return PointModel({"type": name, **options}, head)


def clouds(task: str, batch: int) -> dict[str, Tensor]:
    """Return points on a sphere, with labels."""
    points = torch.nn.functional.normalize(torch.randn(batch, TASKS[task], 3), dim=-1)
    data = {"points": points, "label": torch.arange(batch) % CATEGORIES}
    if task == "parts":
        data["parts"] = torch.randint(0, PARTS, (batch, TASKS[task]))
    return data


def row(name: str, task: str, batch: int) -> str:
    model, data = build(name, task), clouds(task, batch)
    parameters = sum(weight.numel() for weight in model.parameters())
    rates = [batch / least_seconds(model.train(training), data) for training in (True, False)]
    return (
        f"| {name} | {parameters / 1e6:.2f} M | {flops(model, clouds(task, 1)) / 1e9:.2f} "
        f"| {rates[0]:.1f} | {rates[1]:.1f} |"
    )


def flops(model: PointModel, data: dict[str, Tensor]) -> int:
    """Return the FLOPs of a forward pass in eval mode."""
    counter = FlopCounterMode(display=False, custom_mapping=formulas())
    with counter, torch.no_grad():
        model.eval()(**data)
    return counter.get_total_flops()


def formulas() -> dict[Any, Callable[..., int]]:
    """Return the FLOPs, by the shapes of their arguments, of operators that torch's counter does not know."""

    def linear_pool(x: Shape, weight: Shape, *_: Any, **__: Any) -> int:
        return 2 * math.prod(x) * weight[0]

    def act_linear(
        x: Shape, scale: Shape, shift: Shape, slope: float, weight: Shape, *_: Any, **__: Any
    ) -> int:
        return 2 * math.prod(x) * weight[0]

    def attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
        return sdpa_flop_count(query, key, value)

    def addmm_(total: Shape, a: Shape, b: Shape, **_: Any) -> int:
        return 2 * math.prod(a) * b[1]

    known: dict[Any, Callable[..., int]] = {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention,
        torch.ops.aten.addmm_: addmm_,
    }
    ours: dict[str, Callable[..., int]] = {"linear_pool": linear_pool, "act_linear": act_linear}
    return known | {
        getattr(torch.ops.pointmcd, name): formula
        for name, formula in ours.items()
        if hasattr(torch.ops.pointmcd, name)
    }


def least_seconds(model: PointModel, data: dict[str, Tensor]) -> float:
    """Return the CPU seconds of a forward pass, in training mode with its losses and the backward pass."""
    passed: list[float] = []
    while len(passed) < FEWEST_ROUNDS or sum(passed) < SECONDS:
        start = time.process_time()
        with torch.set_grad_enabled(model.training):
            if model.training:
                torch.stack(list(model(mode="loss", **data).values())).sum().backward()
            else:
                model(**data)
        passed.append(time.process_time() - start)
    return min(passed)


if __name__ == "__main__":
    main()
