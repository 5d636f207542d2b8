"""Full disks, folders that must not be written, and two writers at once: one message, and nothing is lost."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.soak.kills import REPOSITORY, TIME_LIMIT_S, Job, jobs
from tests.soak.tally import Tally

DISKS = "full disk, permissions, two writers"
HUNG = 124
"""The exit code that stands for a command that does not end."""
# Without these even root is kept to what a folder's mode allows.
NO_SUPERUSER = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
SIZES = (0, 2_000, 20_000)
"""Bytes that a file may grow to: a stand-in for a disk that is full, the same error at the same call."""


def try_all(ground: Path, work: Path) -> Tally:
    """Every job on a full disk, in a folder of another user, and twice at once."""
    tally = Tally(DISKS)
    for job in jobs(ground):
        whole = job.result(_finished(job, work / f"{job.name}_whole"))
        for size in SIZES:
            folder = _new(work / f"{job.name}_full_{size}")
            words = job.words(folder)
            done = _run(words, lambda size=size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
            _judge(tally, f"{job.name}, files of at most {size} bytes", done)
            _goes_on(tally, job, folder, whole)
        folder = _new(work / f"{job.name}_foreign")
        words = job.words(folder)
        _set_mode(folder, 0o555)
        _judge(tally, f"{job.name}, a folder that must not be written", _run(words, before=NO_SUPERUSER))
        _set_mode(folder, 0o755)
    for job in jobs(ground):
        if job.name in ("prepare", "cache", "train"):
            _two_writers(tally, job, work)
    return tally


def _new(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _finished(job: Job, folder: Path) -> Path:
    done = _run(job.words(_new(folder)))
    if done.returncode:
        raise RuntimeError(f"{job.name}: {done.stderr[-2000:]}")
    return folder


def _set_mode(folder: Path, mode: int) -> None:
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(mode)


def _run(
    words: list[str], first: Callable[[], object] | None = None, before: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, f"tools/{words[0]}", *words[1:]]
    try:
        return subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=TIME_LIMIT_S,
            preexec_fn=first,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, HUNG, "", f"longer than {TIME_LIMIT_S} s")


def _judge(tally: Tally, attempt: str, done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode == HUNG:
        tally.add("hang", attempt, done.stderr)
    elif "Traceback" in done.stderr:
        tally.add("traceback", attempt, done.stderr)
    elif done.returncode < 0:
        tally.add("crash", attempt, f"signal {-done.returncode}")
    elif done.returncode == 0:
        tally.add("silent", attempt, done.stdout)
    else:
        tally.add("refused", attempt)


def _goes_on(tally: Tally, job: Job, folder: Path, whole: object) -> None:
    """With room on the disk the same command ends as if nothing had been."""
    done = _run([*job.words(folder), *job.again])
    if done.returncode not in (0, 3):
        tally.add(
            "traceback" if "Traceback" in done.stderr else "lost", f"{job.name} afterwards", done.stderr
        )
    elif job.result(folder) != whole:
        tally.add("silent", f"{job.name} afterwards", "another result")
    else:
        tally.add("went on", job.name)


def _two_writers(tally: Tally, job: Job, work: Path) -> None:
    folder = _new(work / f"{job.name}_two")
    words = job.words(folder)
    command = [sys.executable, f"tools/{words[0]}", *words[1:]]
    pair = [
        subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=TIME_LIMIT_S)[1] for process in pair]
    codes = [process.returncode for process in pair]
    if any("Traceback" in text for text in said):
        tally.add("traceback", f"two of {job.name}", "".join(said))
    elif 0 not in codes:
        tally.add("lost", f"two of {job.name}", "".join(said))
    elif job.result(folder) != job.result(work / f"{job.name}_whole"):
        tally.add("silent", f"two of {job.name}", "another result than that of one")
    else:
        tally.add("one refused" if sum(codes) else "one after the other", job.name)
