#!/usr/bin/env python
"""Time image teachers: CPU time of one thread, least of 3 rounds, random weights."""

import time
from collections.abc import Callable
from functools import partial

import torch

from pointmcd.models import MultiViewTeacher
from pointmcd.models.teachers.frozen import FrozenTrunk

TRUNK, SIZE, ROUNDS = "mobilenetv2_100", 112, 3
SHAPES, VIEWS = 24, 4


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    views = torch.randint(0, 256, (SHAPES, VIEWS, 3, SIZE, SIZE), dtype=torch.uint8)
    print(f"{TRUNK}, {SIZE} px")
    for name, bfloat16 in (("float32", False), ("--amp", True)):
        seconds = least_seconds(training_step(views, bfloat16))
        print(
            f"| training step of {SHAPES} shapes with {VIEWS} views, {name} | {seconds:.2f} s |", flush=True
        )
    for name, folded, precision in (
        ("float32", False, "float32"),
        ("float32, norms folded", True, "float32"),
        ("bfloat16, norms folded", True, "bfloat16"),
    ):
        trunk = FrozenTrunk(TRUNK, input_size=0, random_weights=True, precision=precision)
        if folded:
            trunk.hasten()
        seconds = least_seconds(partial(trunk, views)) / (SHAPES * VIEWS)
        print(f"| frozen features of an image, {name} | {seconds * 1e3:.1f} ms |", flush=True)


def training_step(views: torch.Tensor, bfloat16: bool) -> Callable[[], None]:
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


def least_seconds(run: Callable[[], object]) -> float:
    least = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        run()
        least = min(least, time.process_time() - start)
    return least


if __name__ == "__main__":
    main()
