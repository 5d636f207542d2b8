"""Kill commands at random and while they save, type them again, and compare with an undisturbed run."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pointmcd.files import file_sha256, read_json
from tests.soak.tally import Tally

REPOSITORY = Path(__file__).resolve().parents[2]
TIME_LIMIT_S = 180
"""Of one run; a whole one takes about ten seconds."""


@dataclass(frozen=True)
class Job:
    """A command whose result can be compared.

    Attributes:
        name: As the table names it.
        words: The command of a folder to work in.
        again: What is added when it is typed again.
        result: What the folder holds when all is well, as a value to compare.
        saves: Names of files and folders that are there only while it saves, as patterns.
    """

    name: str
    words: Callable[[Path], list[str]]
    result: Callable[[Path], object]
    again: tuple[str, ...] = ()
    saves: tuple[str, ...] = ("**/*.tmp",)


def make_ground(root: Path) -> Path:
    """A small prepared set with a teacher's cache, and checkpoints of teacher and student, for all jobs."""
    ground = root / "ground"
    data = ground / "data"
    for words in (
        prepare_words(ground),
        train_words("teacher_tinyresnet_builtin", ground / "teacher", 1, data),
        cache_words(ground, data),
        train_words("pointmcd_pointnet_builtin", ground / "student", 1, data),
    ):
        done = run(words)
        if done.returncode:
            raise RuntimeError(f"{words}: {done.stderr[-2000:]}")
    return ground


def prepare_words(folder: Path) -> list[str]:
    sizes = ["--points", "512", "--image-size", "32", "--train", "3", "--test", "2"]
    return ["prepare_data.py", "builtin", "--out", str(folder / "data"), *sizes, "--workers", "2"]


def train_words(config: str, folder: Path, epochs: int, data: Path) -> list[str]:
    return ["train.py", f"configs/{config}.py", "--work-dir", str(folder), *short(epochs, data)]


def short(epochs: int, data: Path) -> list[str]:
    """Overrides for a training of seconds."""
    return [
        "--cfg-options",
        f"data_root={data}",
        f"train_cfg.max_epochs={epochs}",
        "default_hooks.checkpoint.interval=1",
        "train_dataloader.batch_size=12",
        "train_dataloader.num_workers=1",
    ]


def cache_words(ground: Path, data: Path) -> list[str]:
    teacher = ground / "teacher/epoch_1.pth"
    config = "configs/teacher_tinyresnet_builtin.py"
    return ["cache_teacher.py", config, str(teacher), "--cfg-options", f"data_root={data}"]


def export_words(ground: Path, out: Path) -> list[str]:
    words = ["export_student.py", "configs/pointmcd_pointnet_builtin.py", str(ground / "student/epoch_1.pth")]
    return [*words, str(out), "--cfg-options", f"data_root={ground / 'data'}"]


def jobs(ground: Path) -> list[Job]:
    """The commands that take long enough to be interrupted."""
    data = ground / "data"
    student = ground / "student/epoch_1.pth"

    def cache(folder: Path) -> list[str]:
        copy = folder / "data"
        if not copy.exists():
            shutil.copytree(data, copy, ignore=shutil.ignore_patterns("teachers"))
        return cache_words(ground, copy)

    def train(folder: Path) -> list[str]:
        return train_words("pointmcd_pointnet_builtin", folder, 4, data)

    def finetune(folder: Path) -> list[str]:
        words = ["finetune.py", "configs/baseline_pointnet_builtin.py", "--pretrained", str(student)]
        return [*words, "--fractions", "100", "--seeds", "0", "--out", str(folder), *short(2, data)]

    def export(folder: Path) -> list[str]:
        return export_words(ground, folder / "student.pth")

    return [
        Job("prepare", prepare_words, lambda folder: read_json(folder / "data/manifest.json")["digest"]),
        Job("cache", cache, lambda folder: _hashes(folder / "data/teachers"), saves=("data/teachers/.*",)),
        Job("train", train, lambda folder: _weights(folder / "epoch_4.pth"), again=("--resume",)),
        Job("finetune", finetune, _finetuned),
        Job("export", export, lambda folder: _weights(folder / "student.pth")),
    ]


def _hashes(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in sorted(folder.rglob("*.npy"))}


def _weights(path: Path) -> dict[str, bytes]:
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    return {key: value.numpy().tobytes() for key, value in state.items()}


def _finetuned(folder: Path) -> object:
    results = {path.parent.name: read_json(path) for path in sorted(folder.glob("*/result.json"))}
    return {name: (one["labels"], one["predictions"]) for name, one in results.items()}


def run(words: list[str], seconds: float = TIME_LIMIT_S) -> subprocess.CompletedProcess[str]:
    """Run a tool to its end."""
    command = [sys.executable, f"tools/{words[0]}", *words[1:]]
    return subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=seconds
    )


def kill_many(root: Path, count: int, have: Collection[str] = (), seed: int = 0) -> Iterator[Tally]:
    """Kill each job ``count / 5`` times: a third while it saves, the others at a random moment.

    The signals are SIGKILL twice, SIGTERM and SIGINT, in turn. Yields a tally a job, when it is complete,
    but for those in ``have``.
    """
    ground = make_ground(root)
    for job in jobs(ground):
        tally, draw = Tally(f"kill {job.name}"), random.Random(f"{seed} {job.name}")
        if tally.kind in have:
            continue
        started = time.monotonic()
        done = run(job.words(root / f"{job.name}_whole"))
        length = time.monotonic() - started
        if done.returncode:
            raise RuntimeError(f"{job.name}: {done.stderr[-2000:]}")
        whole = job.result(root / f"{job.name}_whole")
        for number in range(-(-count // 5)):
            folder = root / f"{job.name}_{number}"
            signum = (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT)[number % 4]
            kill_once(job, folder, signum, None if number % 3 == 0 else draw.uniform(0, length), whole, tally)
            shutil.rmtree(folder, ignore_errors=True)
        yield tally


def kill_once(
    job: Job, folder: Path, signum: signal.Signals, after: float | None, whole: object, tally: Tally
) -> None:
    """Start a job, kill it after that many seconds or (None) while it saves, go on, compare."""
    folder.mkdir(parents=True)
    words = job.words(folder)
    attempt = f"{signum.name} after {'a file appeared' if after is None else f'{after:.2f} s'} in {folder}"
    command = [sys.executable, f"tools/{words[0]}", *words[1:]]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        process_group=0,
    ) as process:  # fmt: skip
        _wait(process, folder, job.saves, after)
        ended = process.poll() is not None
        if not ended:
            # What a shell's Ctrl-C reaches is the whole group; a kill by the system, the process alone.
            if signum == signal.SIGINT:
                os.killpg(process.pid, signum)
            else:
                process.send_signal(signum)
        try:
            said = process.communicate(timeout=TIME_LIMIT_S)[1]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            tally.add("hang", attempt)
            return
    if not ended and signum != signal.SIGKILL and "Traceback" in said:
        tally.add("traceback", attempt, said)
        return
    if _children(process.pid):
        os.killpg(process.pid, signal.SIGKILL)
        tally.add("hang", f"{attempt}: a child went on")
        return
    try:
        done = run([*words, *job.again])
    except subprocess.TimeoutExpired:
        tally.add("hang", attempt)
        return
    if done.returncode not in (0, 3):
        outcome = "crash" if done.returncode < 0 else "lost"
        tally.add("traceback" if "Traceback" in done.stderr else outcome, attempt, done.stderr)
    elif not _same(job.result(folder), whole):
        tally.add("silent", attempt, "another result than that of an undisturbed run")
    elif left := [path for pattern in job.saves for path in folder.glob(pattern)]:
        tally.add("lost", attempt, f"left lying: {left[0]}")
    else:
        tally.add("ended before" if ended else "went on", attempt)


def _wait(process: subprocess.Popen[str], folder: Path, saves: tuple[str, ...], after: float | None) -> None:
    """Until the moment of the kill, or until the process ends."""
    end = time.monotonic() + (TIME_LIMIT_S if after is None else after)
    while process.poll() is None and time.monotonic() < end:
        if after is None and any(True for pattern in saves for _ in folder.glob(pattern)):
            return
        time.sleep(0.001 if after is None else 0.01)


def _children(group: int) -> bool:
    """Whether a process of the group is still there a moment after its leader."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.05)
    return True


def _same(one: object, other: object) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(np.all(one == other))
