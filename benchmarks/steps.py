#!/usr/bin/env python
"""Time whole training steps as they come, the official one and ours, each in a process of its own.

``benchmarks/run.py`` times all variants in one process, with the memory settings of torch. Here ours has
those of a training on the CPU (huge pages, and the memory that a step frees is kept), the official step
torch's. The processes take turns, one step each: CPU time of one thread, medians of 9 rounds after 3 that
warm up; a ratio is the median over the rounds.
"""

import argparse
import multiprocessing
import os
import statistics
import time
from contextlib import ExitStack
from multiprocessing.connection import Connection

import torch

from pointmcd import ops
from pointmcd.cpu import set_up_cpu

NETWORKS = ("PointNet", "DGCNN", "PointNet++ SSG")
WARM, ROUNDS = 3, 9


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    variants = ["official", "ours", *(["ours, --amp"] if ops.has_bfloat16("cpu") else [])]
    print("| step | variant | ms | ratio to official | to our float32 |\n|---|---|---|---|---|")
    for network in NETWORKS:
        with ExitStack() as stack:
            steps = [stack.enter_context(Steps(network, variant)) for variant in variants]
            rounds = [[step.milliseconds() for step in steps] for _ in range(WARM + ROUNDS)][WARM:]
        official, ours = ([times[i] for times in rounds] for i in range(2))
        for variant, times in zip(variants, zip(*rounds, strict=True), strict=True):
            ratios = [
                statistics.median(a / b for a, b in zip(base, times, strict=True))
                for base in (official, ours)
            ]
            shown = " | ".join(f"{ratio:.2f}" for ratio in ratios)
            print(f"| {network} | {variant} | {statistics.median(times):.0f} | {shown} |", flush=True)


class Steps:
    """A process that runs one step each time it is asked."""

    def __init__(self, network: str, variant: str) -> None:
        self._ours, theirs = multiprocessing.Pipe()
        spawn = multiprocessing.get_context("spawn")
        self._process = spawn.Process(target=serve, args=(theirs, network, variant), daemon=True)

    def __enter__(self) -> "Steps":
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()

    def milliseconds(self) -> float:
        self._ours.send(None)
        return self._ours.recv()


def serve(requests: Connection, network: str, variant: str) -> None:
    """Answer each request with the CPU milliseconds of one step."""
    # torch looks at this when it first allocates, not when it is imported
    os.environ["THP_MEM_ALLOC_ENABLE"] = "0" if variant == "official" else "1"
    from cases import distillation_step

    torch.set_num_threads(1)
    if variant != "official":
        set_up_cpu()
    case = distillation_step("cpu", 8, network)
    step = {"official": case.official, "ours": case.ours, "ours, --amp": case.mixed}[variant]
    assert step is not None
    while True:
        requests.recv()
        start = time.process_time()
        step()
        requests.send((time.process_time() - start) * 1e3)


if __name__ == "__main__":
    main()
