"""Damage the files that the toolbox writes: each damage is noticed, or does no harm."""

import random
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np
import torch

from pointmcd.apis import load_student
from pointmcd.checkpoint import read_checkpoint
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.datasets.teacher_cache import TeacherCache
from tests.soak.tally import Tally

Read = Callable[[], object]


def damage(path: Path, draw: random.Random) -> str:
    """Do one of the things that disks, copies and editors do to a file; returns which."""
    content = bytearray(path.read_bytes())
    place = draw.randrange(max(len(content), 1))
    kind = draw.choice(("flip", "flip", "truncate", "zeros", "empty", "append", "remove", "repeat"))
    if kind == "remove":
        path.unlink()
        return "removed"
    if kind == "flip" and content:
        content[place] ^= 1 << draw.randrange(8)
    elif kind == "truncate":
        del content[place:]
    elif kind == "zeros":
        content[place : place + 512] = bytes(len(content[place : place + 512]))
    elif kind == "empty":
        content.clear()
    elif kind == "append":
        content += draw.randbytes(32)
    elif kind == "repeat":
        content[place:place] = content[place : place + 64]
    path.write_bytes(content)
    return f"{kind} at {place}"


def damage_many(
    ground: Path, work: Path, count: int, have: Collection[str] = (), seed: int = 1
) -> Iterator[Tally]:
    """Damage sets, caches, checkpoints and students, ``count / 4`` times each, but for rows in ``have``."""
    for row, (name, reader) in ARTEFACTS.items():
        if row in have:
            continue
        draw, tally, kind = random.Random(f"{seed} {row}"), Tally(row), row.removeprefix("damage ")
        whole = reader(ground / name)()
        for number in range(-(-count // 4)):
            copy = work / f"{kind.replace(' ', '_')}_{number}"
            original = ground / name
            if original.is_dir():
                shutil.copytree(original, copy)
                inside = copy / "teachers" if kind == "teacher cache" else copy
                files = sorted(path for path in inside.rglob("*") if path.is_file())
                if kind == "prepared set":
                    files = [path for path in files if "teachers" not in path.parts]
                target = draw.choice(files)
            else:
                copy.parent.mkdir(parents=True, exist_ok=True)
                target = copy = Path(shutil.copy(original, copy.with_suffix(original.suffix)))
            what = f"{damage(target, draw)} in {target.name}"
            tally.add(*_outcome(reader(copy), whole, what))
            shutil.rmtree(copy) if copy.is_dir() else copy.unlink(missing_ok=True)
        yield tally


def _outcome(read: Read, whole: object, what: str) -> tuple[str, str, str]:
    try:
        got = read()
    except (ValueError, FileNotFoundError) as error:
        message = str(error)
        return ("noticed" if message else "traceback"), what, message
    except Exception as error:
        return "traceback", what, f"{type(error).__name__}: {error}"
    return ("no harm" if _equal(got, whole) else "silent"), what, "read as if it were whole"


def _equal(one: object, other: object) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.shape == other.shape and one.numpy().tobytes() == other.numpy().tobytes()
    return bool(np.all(one == other))


def _read_set(root: Path) -> Read:
    def read() -> object:
        PreparedSet(root).verify()
        return _batch(root, None)

    return read


def _read_cache(root: Path) -> Read:
    def read() -> object:
        TeacherCache(root, "tinyresnet").verify()
        return _batch(root, "tinyresnet")

    return read


def _batch(root: Path, teacher: str | None) -> dict[str, object]:
    dataset = PreparedShapes(str(root), "train", num_points=64, visibility=True, views="all", teacher=teacher)
    return dict(dataset.__getitems__(range(len(dataset))))


def _read_weights(path: Path) -> Read:
    return lambda: dict(read_checkpoint(path)["state_dict"])


def _read_student(path: Path) -> Read:
    def read() -> object:
        student = load_student(path)
        points = torch.linspace(-0.5, 0.5, 3 * student.num_points).reshape(1, -1, 3)
        return {"probabilities": student.probabilities(points), "names": np.array(student.class_names)}

    return read


ARTEFACTS: dict[str, tuple[str, Callable[[Path], Read]]] = {
    "damage prepared set": ("data", _read_set),
    "damage teacher cache": ("data", _read_cache),
    "damage checkpoint": ("student/epoch_1.pth", _read_weights),
    "damage student file": ("student.pth", _read_student),
}
"""Rows of the table: what is damaged, and how it is read."""
