"""Mutated meshes and clouds: read as a finite shape, or refused in a line; no traceback, crash or hang."""

import random
import warnings
from concurrent.futures import TimeoutError
from pathlib import Path

import numpy as np
import trimesh
from pebble import ProcessExpired, ProcessPool

from pointmcd.apis.files import read_shape
from pointmcd.datasets.preparation.shape import PointSettings, prepare_points
from pointmcd.geometry.mesh import MeshError
from tests.soak.tally import Tally

SHAPES = "mutate meshes and clouds"
TIME_LIMIT_S = 20
TOKENS = [
    b"nan",
    b"inf",
    b"-1",
    b"0",
    b"999999999999",
    b"1e400",
    b"\x00",
    b"\xff",
    b"",
    b"f",
    b"3 0 1",
    b"#",
    b"\n",
]


def seeds(work: Path) -> list[Path]:
    """A valid file of each kind that is read."""
    work.mkdir(parents=True, exist_ok=True)
    box, ball = trimesh.creation.box((1, 2, 3)), trimesh.creation.icosphere(subdivisions=1)
    files = [work / f"box.{kind}" for kind in ("off", "obj", "ply", "stl", "glb")]
    for file in files:
        box.export(file)
    (work / "ascii.ply").write_bytes(trimesh.exchange.ply.export_ply(ball, encoding="ascii"))
    (work / "ascii.stl").write_text(trimesh.exchange.stl.export_stl_ascii(ball))
    points = trimesh.sample.sample_surface(ball, 300, seed=0)[0]
    np.savetxt(work / "cloud.xyz", points)
    np.savetxt(work / "commas.txt", points, delimiter=",")
    np.save(work / "cloud.npy", points.astype(np.float32))
    (work / "cloud.ply").write_bytes(trimesh.exchange.ply.export_ply(trimesh.PointCloud(points)))
    return sorted(work.iterdir())


def mutate(content: bytes, draw: random.Random) -> bytes:
    """Change a file as damage or a careless writer would."""
    data = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 5))):
        place = draw.randrange(max(len(data), 1))
        kind = draw.randrange(6)
        if kind == 0 and data:
            data[place] = draw.randrange(256)
        elif kind == 1:
            del data[place : place + draw.choice((1, 4, 100, len(data)))]
        elif kind == 2:
            data[place:place] = draw.randbytes(draw.choice((1, 4, 100)))
        elif kind == 3:
            data[place:place] = data[place : place + draw.choice((4, 40, 400))]
        else:
            words = bytes(data).split(b" ")
            words[draw.randrange(len(words))] = draw.choice(TOKENS)
            data = bytearray(b" ".join(words))
    return bytes(data)


def look(path: str) -> tuple[str, str]:
    """The outcome of reading and sampling a file, and what was said."""
    warnings.simplefilter("ignore")
    try:
        points = prepare_points(read_shape(path), PointSettings(64, "z", 0), "name")
    except MeshError as error:
        return ("refused" if str(error) else "traceback"), str(error)
    except Exception as error:
        return "traceback", f"{type(error).__name__}: {error}"
    if points.shape != (64, 3) or not np.isfinite(points).all() or np.abs(points).max() > 1.001:
        return "silent", f"points {points.shape} from {points.min()} to {points.max()}"
    return "read", ""


def mutate_many(work: Path, count: int, seed: int = 2) -> Tally:
    """Mutate and read ``count`` files, in processes of their own."""
    draw, tally = random.Random(seed), Tally(SHAPES)
    originals = seeds(work / "whole")
    mutated = []
    for number in range(count):
        original = originals[number % len(originals)]
        path = work / f"{number:05d}_{original.name}"
        path.write_bytes(mutate(original.read_bytes(), draw))
        mutated.append(path)
    with ProcessPool(2) as pool:
        results = pool.map(look, map(str, mutated), timeout=TIME_LIMIT_S).result()
        for path in mutated:
            try:
                outcome, said = next(results)
            except TimeoutError:
                outcome, said = "hang", f"longer than {TIME_LIMIT_S} s"
            except ProcessExpired as error:
                outcome, said = "crash", str(error)
            tally.add(outcome, path.name, said)
    return tally
