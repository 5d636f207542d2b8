#!/usr/bin/env python
"""Time how commands start, each in a process of its own: CPU time of all its threads, least of 3 rounds."""

import argparse
import contextlib
import io
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from pointmcd.__main__ import COMMANDS
from pointmcd.commands import prepare_data

ROUNDS = 3
FIRST_STEP = """
import os, sys
from mmengine.hooks import Hook
from pointmcd.commands.train import make_runner, parse_args

class End(Hook):
    def after_train_iter(self, *args, **kwargs):
        os._exit(0)

runner = make_runner(parse_args(sys.argv[1:]))
runner.register_hook(End())
runner.train()
"""


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    helps = {name: least_seconds("-m", "pointmcd", name, "--help") for name in COMMANDS}
    slowest = max(helps, key=helps.__getitem__)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            prepare_data.main(["builtin", "--out", str(data), "--train", "2", "--test", "1", "--no-views"])
        options = f"data_root={data}", "train_dataloader.num_workers=0", "val_dataloader.num_workers=0"
        words = "baseline_pointnet_builtin", "--work-dir", f"{folder}/run", "--cfg-options", *options
        rows = {
            "pointmcd --help": least_seconds("-m", "pointmcd", "--help"),
            "pointmcd train --help": helps["train"],
            f"pointmcd {slowest} --help, the slowest": helps[slowest],
            "pointmcd train to the end of its first step": least_seconds("-c", FIRST_STEP, *words),
            "floor: import torch": least_seconds("-c", "import torch"),
        }
    for name, seconds in rows.items():
        print(f"| {name} | {seconds:.2f} s |")


def least_seconds(*words: str) -> float:
    """Return the CPU seconds of Python with these words.

    Raises:
        subprocess.CalledProcessError: It failed; what it said is on standard error.
    """
    least = float("inf")
    for _ in range(ROUNDS):
        before = cpu_seconds()
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
        least = min(least, cpu_seconds() - before)
    return least


def cpu_seconds() -> float:
    """Return those of all processes that were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
