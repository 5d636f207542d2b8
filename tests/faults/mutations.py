"""Every way in which a file on a disk goes wrong, small enough to try them all."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np


def mutations(path: Path) -> Iterator[str]:
    """Damage a file in one way after the other; says which, and puts it back afterwards."""
    whole = path.read_bytes()
    for place in sorted({0, 3, 8, 20, 70, len(whole) // 2, len(whole) - 1} & set(range(len(whole)))):
        for bit in (0, 6):
            yield from _as(path, whole, _flipped(whole, place, bit), f"bit {bit} of byte {place}")
    last = len(whole.rstrip()) - 1  # without the end of the last line JSON is the same
    for size in sorted({0, 1, 9, len(whole) // 2, last} & set(range(len(whole)))):
        yield from _as(path, whole, whole[:size], f"cut to {size} bytes")
    yield from _as(path, whole, whole + b"\0", "a byte more")
    yield from _as(path, whole, bytes(len(whole)), "zeros")
    if path.suffix == ".npy":
        array = np.load(path)
        yield from _as(path, whole, _saved(array.reshape(-1)), "another shape")
        yield from _as(path, whole, _saved(array.view(np.uint8)), "another type")
        yield from _as(path, whole, _saved(np.roll(array.reshape(-1), 1).reshape(array.shape)), "rolled")
        pickled = io.BytesIO()
        np.save(pickled, np.array([{}, None]), allow_pickle=True)
        yield from _as(path, whole, pickled.getvalue().ljust(len(whole), b"\0")[: len(whole)], "pickled")
    path.unlink()
    yield "missing"
    path.mkdir()
    yield "a folder"
    shutil.rmtree(path)
    path.write_bytes(whole)


def _as(path: Path, whole: bytes, changed: bytes, how: str) -> Iterator[str]:
    if changed != whole:
        path.write_bytes(changed)
        yield how
        path.write_bytes(whole)


def _flipped(data: bytes, place: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1 << bit
    return bytes(changed)


def _saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()
