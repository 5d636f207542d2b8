#!/usr/bin/env python
"""Time image teachers: CPU time of one thread, least of 3 rounds in which all take turns, random weights.

The first of each kind is as timm and malloc have it; the others keep the memory that they free, as training
and teachers do here on the CPU. Each runs once before it is timed.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from unittest.mock import patch

import torch
from torch import Tensor, nn

from pointmcd.cpu import keep_freed_memory
from pointmcd.models import MultiViewTeacher
from pointmcd.models.teachers.frozen import FrozenTrunk
from pointmcd.models.teachers.training_layers import quicken_training

TRUNK, SIZE, ROUNDS = "mobilenetv2_100", 112, 3
SHAPES, VIEWS = 24, 4


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    views = torch.randint(0, 256, (SHAPES, VIEWS, 3, SIZE, SIZE), dtype=torch.uint8)
    print(f"{TRUNK}, {SIZE} px")
    steps = {
        "float32, torch's own layers and malloc's habits": training_step(views, lambda trunk: None, False),
        "float32": training_step(views, quicken_training, False),
        "`--amp`, torch's own layers": training_step(views, lambda trunk: None, True),
        "`--amp`": training_step(views, quicken_training, True),
    }
    for name, seconds in least_seconds(steps).items():
        print(
            f"| training step of {SHAPES} shapes with {VIEWS} views, {name} | {seconds:.2f} s |", flush=True
        )
    passes = {
        "float32, malloc's habits": features(views, "float32", folded=False),
        "float32, norms folded": features(views, "float32"),
        "bfloat16, norms folded": features(views, "bfloat16"),
    }
    for name, seconds in least_seconds(passes).items():
        milliseconds = seconds / (SHAPES * VIEWS) * 1e3
        print(f"| frozen features of an image, {name} | {milliseconds:.1f} ms |", flush=True)


def training_step(
    views: Tensor, prepare: Callable[[nn.Module], object], bfloat16: bool
) -> Callable[[], object]:
    """Return one step of a teacher whose trunk is prepared so."""
    with patch("pointmcd.models.teachers.base.quicken_training", prepare):
        teacher = MultiViewTeacher(num_classes=40, trunk=TRUNK).train()
    optimizer = torch.optim.AdamW(teacher.parameters())
    label = torch.arange(len(views))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            losses = teacher(mode="loss", views=views, label=label)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()

    return step


def features(views: Tensor, precision: str, folded: bool = True) -> Callable[[], object]:
    """Return a pass of a frozen network over views."""
    trunk = FrozenTrunk(TRUNK, input_size=0, random_weights=True, precision=precision)
    if folded:
        trunk.hasten()
    return partial(trunk, views)


def least_seconds(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    least = dict.fromkeys(runs, float("inf"))
    for _ in range(ROUNDS):
        for i, (name, run) in enumerate(runs.items()):
            keep_freed_memory(i > 0)
            run()
            start = time.process_time()
            run()
            least[name] = min(least[name], time.process_time() - start)
    return least


if __name__ == "__main__":
    main()
