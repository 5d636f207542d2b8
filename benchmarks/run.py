#!/usr/bin/env python
"""Time every hot operation beside its official path; see --help.

The variants of a case run in turn, round after round, in one process; a ratio is the median over the
rounds of official time by ours. On the CPU: CPU time (user and system) of one thread. On CUDA: wall time
between two waits. The huge pages that ``pointmcd`` has torch ask for are left out: both sides
have torch's defaults.
"""

import argparse
import ctypes
import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "0")

import torch
from cases import Case, all_cases

from pointmcd import ops

MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="smaller batches of the point operations, 3 rounds"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="on the CPU (default 1)")
    parser.add_argument(
        "--only", default="", help="cases with this in their name; a wrong one lists the names"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("benchmarks/run.py: no CUDA device here; leave out --device cuda")
    torch.set_num_threads(args.threads)
    for name, status in ops.backends().items():
        print(f"{name}: {status}")
    print("\n| what | size | backend | ms | ratio | x floor | peak MiB |\n|---|---|---|---|---|---|---|")
    rows, names = [], []
    with tempfile.TemporaryDirectory() as folder:
        for make in all_cases(args.device, args.quick, Path(folder)):
            names.append(case_name(make))
            if args.only.lower() in names[-1].lower():
                rows += measure(make(), args.device, args.threads, rounds=3 if args.quick else 7)
                gc.collect()
    if not rows:
        sys.exit(f"benchmarks/run.py: --only {args.only} is in none of these names:\n" + "\n".join(names))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


def case_name(make: Callable[[], Case]) -> str:
    arguments = (str(value) for value in make.args if not isinstance(value, Path))  # type: ignore[attr-defined]
    return f"{make.func.__name__} {' '.join(arguments)}"  # type: ignore[attr-defined]


def measure(case: Case, device: str, threads: int, rounds: int) -> list[dict]:
    """Time the variants of one case in turn, print a line of the table for each and return its rows."""
    variants = {"official": case.official} | {
        backend: in_backend(backend, case.ours) for backend in ops.available(device)
    }
    best = ops.available(device)[-1]
    if case.mixed:
        variants[f"{best} bfloat16"] = in_backend(best, case.mixed)
    if case.what == "reading a batch":
        variants = {"official": case.official, "prepared": case.ours}
    if case.floor:
        variants["floor"] = case.floor
    times: dict[str, list[float]] = {name: [] for name in variants}
    peaks = {name: peak_mib(run, device) for name, run in variants.items()}  # also warms up
    for _ in range(rounds):
        for name, run in variants.items():
            times[name].append(seconds(run, device))
    floor = statistics.median(times.pop("floor")) if case.floor else None
    rows = []
    for name, values in times.items():
        median = statistics.median(values)
        ratio = ratio_of(times["official"], values)
        row = {
            "what": case.what,
            "size": case.size,
            "backend": name,
            "threads": threads,
            "seconds": median,
            "ratio": ratio,
            "float32_ratio": ratio_of(times[best], values) if name.endswith("bfloat16") else None,
            "floor_ratio": median / floor if floor else None,
            "peak_mib": peaks[name],
        }
        rows.append(row)
        own = f" ({row['float32_ratio']:.2f} of float32)" if row["float32_ratio"] else ""
        above = f"{row['floor_ratio']:.1f}" if floor else ""
        rate = f" ({case.samples / median:.0f} samples/s)" if case.samples else ""
        share = f" ({peaks[name] / peaks['official']:.1%})" if case.samples else ""
        print(
            f"| {case.what} | {case.size} | {name} | {median * 1e3:.2f}{rate} | {ratio:.2f}{own} | {above} "
            f"| {peaks[name]:.0f}{share} |",
            flush=True,
        )
    return rows


def ratio_of(others: list[float], values: list[float]) -> float:
    """Return the median over the rounds of another variant's time by this one's."""
    return statistics.median(other / value for other, value in zip(others, values, strict=True))


def in_backend(backend: str, run: Callable[[], object]) -> Callable[[], object]:
    def wrapped() -> object:
        with ops.use_backend(backend):
            return run()

    return wrapped


def seconds(run: Callable[[], object], device: str, least: float = 0.02) -> float:
    """Return the seconds of one run; short ones are repeated until ``least`` has passed."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    count, start = 0, clock()
    while True:
        run()
        count += 1
        if device == "cuda":
            torch.cuda.synchronize()
        if (passed := clock() - start) >= least:
            return passed / count


def peak_mib(run: Callable[[], object], device: str) -> float:
    """Return the most memory that a run has beyond what was there, in MiB; on Linux's CPU the process's
    resident set, gaps of malloc's heap included: ``MALLOC_MMAP_THRESHOLD_=131072`` in the environment leaves
    them out, at the price of slower runs.
    """
    run()
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before: float = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / MIB
    release_freed()
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    except OSError:
        return float("nan")
    before = resident("VmRSS")
    run()
    return max(resident("VmHWM") - before, 0.0)


def release_freed() -> None:
    """Give back what malloc has kept of earlier runs: what it could use again would not be counted."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # glibc
        libc.malloc_trim(0)


def resident(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


if __name__ == "__main__":
    main()
