"""The processes of a distributed run: started by torchrun, whose failures are one message, or by srun.

The scripts tools/dist_train.sh and dist_test.sh call ``main``; the arguments are those of torchrun.
"""

import argparse
import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence

LAUNCHERS = ("none", "pytorch", "slurm")


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher``, for ``join_processes``."""
    parser.add_argument(
        "--launcher",
        choices=LAUNCHERS,
        default="none",
        help="what started this process as one of several: torchrun (pytorch, also known without being "
        "named) or srun (slurm)",
    )


def join_processes(launcher: str) -> None:
    """Take this process's place among those of a distributed run from what started them all.

    What torchrun says in the environment is there already; of srun, it is put there.

    Raises:
        ValueError: Nothing of the launcher is in the environment, or srun started several processes and
            nobody said so: each would train all, in one folder.
    """
    env = os.environ
    started = "RANK" in env and "WORLD_SIZE" in env
    if launcher == "pytorch" and not started:
        raise ValueError(
            "--launcher pytorch: torchrun did not start this; use tools/dist_train.sh CONFIG PROCESSES, or "
            "torchrun --nproc_per_node PROCESSES -m pointmcd train CONFIG"
        )
    if launcher == "slurm":
        env.update(from_slurm(env))
    else:
        refuse_copies("give --launcher slurm (tools/slurm_train.sh does), or one task")


def refuse_copies(remedy: str = "give one task (srun --ntasks=1)") -> None:
    """Refuse to be one of several copies of a command.

    Args:
        remedy: What to do instead; by default, of a command that runs in one process alone.

    Raises:
        ValueError: srun started several, and torchrun none.
    """
    env = os.environ
    started = "RANK" in env and "WORLD_SIZE" in env
    if not started and (tasks := int(env.get("SLURM_STEP_NUM_TASKS", "1"))) > 1:
        raise ValueError(
            f"srun started this {tasks} times, and each copy would run the whole training; {remedy}"
        )


def from_slurm(env: Mapping[str, str]) -> dict[str, str]:
    """Return what torchrun would have put into the environment, from what srun put there.

    The first node of the step is where the processes meet, at PORT or a port that follows from the job's
    number; MASTER_ADDR and MASTER_PORT, where they are set, are left as they are.

    Raises:
        ValueError: srun did not start this process.
    """
    try:
        rank, local, tasks = env["SLURM_PROCID"], env["SLURM_LOCALID"], env["SLURM_STEP_NUM_TASKS"]
        nodes = env["SLURM_STEP_NODELIST"]
        port = env.get("PORT") or str(20000 + int(env["SLURM_JOB_ID"]) % 20000)
    except KeyError as missing:
        raise ValueError(
            f"--launcher slurm: srun did not start this, {missing.args[0]} is not set; use "
            "tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR"
        ) from None
    import torch

    if devices := torch.cuda.device_count():  # srun may show each task its own device alone
        local = str(int(local) % devices)
    meet = {"MASTER_ADDR": first_node(nodes), "MASTER_PORT": port}
    meet |= {name: env[name] for name in meet if name in env}
    return {"RANK": rank, "WORLD_SIZE": tasks, "LOCAL_RANK": local, **meet}


def first_node(nodes: str) -> str:
    """Return ``gpu03`` of ``gpu[03-05,09],login``, as SLURM writes lists of nodes."""
    found = re.match(r"([^\[,]+)(?:\[([^\],-]+)[^\]]*\])?([^\[,]*)", nodes)
    return "".join(part or "" for part in found.groups()) if found else nodes


def main(argv: Sequence[str] | None = None) -> int:
    """Run the processes; the exit code is that of the one that failed first."""
    from torch.distributed import DistNetworkError, run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.disable(logging.ERROR)  # of the launcher alone: it logs which process it ends, and why
    try:
        run.run(run.parse_args(sys.argv[1:] if argv is None else argv))
    except ChildFailedError as error:
        failures = sorted(error.failures.items(), key=lambda failure: failure[1].timestamp)
        told = {rank: failure for rank, failure in failures if failure.error_file_data.get("timestamp")}
        if told and 0 not in told:  # rank 0 prints its message itself
            rank, failure = next(iter(told.items()))
            print(f"{failure.message} (said by rank {rank})", file=sys.stderr)
        if told:  # whoever has said why ends with 1, also where the launcher has killed it on the way out
            return 1
        failure = failures[0][1]
        return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
    except SignalException as stop:
        return 128 + stop.sigval
    except DistNetworkError as error:
        raise SystemExit(
            f"the processes cannot reach each other: {error}; is the port (PORT) taken?"
        ) from None
    return 0


if __name__ == "__main__":
    sys.exit(main())
