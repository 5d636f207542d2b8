"""Built-in seats, and the legs that tables stand on too.

Each category's function draws one shape and yields its parts; the front looks along -y. Neighbours share
legs and ranges of proportions: a back rest tells a chair from a stool, slats tell a bench from a table.
"""

from collections.abc import Iterator

import numpy as np

from pointmcd.datasets.preparation.sources.builtin.solids import (
    Part,
    bar,
    block,
    outline,
    polygon,
    slab,
    sweep,
)

ANY = ("four", "four", "column", "sled", "panel")  # styles of legs, the commonest twice
ROUND = ("four", "three", "column")
LONG = ("four", "four", "sled", "panel")
CORNERS = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])


def legs(
    rng: np.random.Generator, style: str, width: float, depth: float, height: float, stretchers: float
) -> Iterator[Part]:
    """Yield what carries a seat or a top of ``width`` x ``depth`` at ``height``.

    Args:
        style: ``four``, ``three``, ``column``, ``sled`` or ``panel``.
        stretchers: The chance of bars between the legs (a foot ring where there is one column).
    """
    thick = rng.uniform(0.06, 0.11) * min(1.0, width, depth)
    section = outline(thick, thick, rng.choice([0.0, 0.4, 1.0]), corner=3)
    half = np.array([width - thick, depth - thick]) / 2
    joined = rng.random() < stretchers
    level = rng.uniform(0.2, 0.5) * height
    if style == "panel":
        for x in (-half[0], half[0]):
            yield "leg", block((x, 0, height / 2), (thick, depth * rng.uniform(0.8, 1), height))
        if joined:
            yield "leg", bar((-half[0], 0, level), (half[0], 0, level), section)
    elif style == "column":
        foot = rng.uniform(0.3, 0.5) * min(width, depth)
        yield "leg", bar((0, 0, 0), (0, 0, height), 1.6 * section, (1, rng.uniform(0.7, 1.3)))
        if rng.random() < 0.5:
            yield "leg", slab(foot * polygon(24), 0, 0.7 * thick, 0.2 * thick)
        else:
            for corner in 1.2 * foot * polygon(int(rng.integers(4, 6)), rng.uniform(0, 2)):
                yield "leg", bar((0, 0, 1.5 * thick), (*corner, 0.4 * thick), section, (1.1, 0.6))
        if joined:
            ring = np.insert(0.75 * foot * polygon(24), 2, level, axis=1)
            yield "leg", sweep(np.vstack([ring, ring[:1]]), 0.6 * section, side=(0, 0, 1))
            yield "leg", bar(ring[0], ring[12], 0.5 * section)
    else:
        tops = half * (polygon(3, rng.uniform(0, 2)) if style == "three" else CORNERS)
        yield from _posts(rng, style == "sled", tops, height, section, level if joined else None)


def _posts(
    rng: np.random.Generator,
    sled: bool,
    tops: np.ndarray,
    height: float,
    section: np.ndarray,
    level: float | None,
) -> Iterator[Part]:
    """Make legs under ``tops`` (3 or 4, 2): straight, splayed or bowed, with stretchers at ``level``."""
    outwards = np.sign(tops)
    splay, bow = rng.choice([(0, 0), (rng.uniform(0.05, 0.2), 0), (0, rng.uniform(-0.08, 0.08))])
    taper = (rng.uniform(0.5, 1.0), 1.0)
    feet = tops if sled else tops + splay * height * outwards
    for top, foot, sign in zip(tops, feet, outwards, strict=True):
        yield "leg", bar((*foot, 0), (*top, height), section, taper, (*bow * sign, 0))
    if sled:
        lift = np.ptp(section, axis=0)[1] / 2
        for a, b in ((0, 3), (1, 2)):
            yield "leg", bar((*feet[a], lift), (*feet[b], lift), section)
    if level is None:
        return
    t = level / height
    at = np.insert(feet + t * (tops - feet) + 4 * t * (1 - t) * bow * outwards, 2, level, axis=1)
    pairs = [(at[i - 1], at[i]) for i in range(len(at))]
    if len(at) == 4 and rng.random() < 0.4:  # an H instead of a ring
        pairs = [(at[0], at[3]), (at[1], at[2]), (at[[0, 3]].mean(0), at[[1, 2]].mean(0))]
    for start, end in pairs:
        yield "leg", bar(start, end, 0.7 * section)


def back_rest(
    rng: np.random.Generator, width: float, y: float, bottom: float, height: float
) -> Iterator[Part]:
    """Yield a back rest at ``y`` that stands on ``bottom`` and leans backwards, of one of four kinds."""
    thick = rng.uniform(0.05, 0.09)
    lean = rng.uniform(0, 0.25)
    bow = (0, rng.choice([0.0, rng.uniform(0.03, 0.1)]), 0)
    half = (width - thick) / 2
    post = outline(thick, thick, rng.choice([0.0, 1.0]), corner=3)

    def at(x: float, z: float) -> tuple[float, float, float]:
        return x, y + lean * z, bottom + z

    style = rng.choice(["panel", "slats", "ladder", "frame"])
    if style == "panel":
        start = rng.choice([0.0, 0.3]) * height if height > 0.4 else 0.0
        board = outline(width, thick, rng.choice([0.0, 0.6]))
        yield "back", bar(at(0, start), at(0, height), board, (1, rng.uniform(0.7, 1)))
        if start > 0:
            for x in (-half / 2, half / 2):
                yield "back", bar(at(x, 0), at(x, start + thick), 0.7 * post)
        return
    for x in (-half, half):
        yield "back", bar(at(x, 0), at(x, height), post)
    rail = outline(0.8 * thick, rng.uniform(1.2, 2.5) * thick, rng.choice([0.0, 0.5]), corner=3)
    rungs = rng.integers(2, 5) if style == "ladder" else 1
    for z in np.linspace(height, 0, rungs, endpoint=False):
        yield "back", bar(at(-half, z), at(half, z), rail, bow=bow, side=(0, 1, 0))
    if style == "slats":
        for x in np.linspace(-half, half, rng.integers(4, 7) + int(2 * width))[1:-1]:
            yield "back", bar(at(x, 0), at(x, height), 0.6 * post, bow=bow)
    if style == "frame":
        yield "back", bar(at(0, 0.25 * height), at(0, height), outline(width - 2 * thick, thick / 2))


def _seat(rng: np.random.Generator, width: float, depth: float, top: float, cushion: float) -> Iterator[Part]:
    """Yield a board whose upper side is at ``top``; ``cushion`` is the chance of a pad on it."""
    roundness = rng.choice([0.0, 0.2, 0.4])
    yield (
        "seat",
        slab(outline(width, depth, roundness), top - rng.uniform(0.05, 0.14), top, rng.uniform(0, 0.04)),
    )
    if rng.random() < cushion:
        pad = rng.uniform(0.05, 0.12)
        yield "seat", slab(outline(0.92 * width, 0.92 * depth, max(0.3, roundness)), top, top + pad, pad / 2)


def chair(rng: np.random.Generator) -> Iterator[Part]:
    width, depth = 1.0, rng.uniform(0.85, 1.15)
    top = rng.uniform(0.6, 1.5)
    yield from _seat(rng, width, depth, top, 0.3)
    yield from legs(rng, rng.choice(ANY), width, depth, top - 0.04, 0.4)
    yield from back_rest(rng, width, depth / 2 - 0.05, top, rng.uniform(0.3, 1.0))
    if rng.random() < 0.3:
        rise, thick = rng.uniform(0.25, 0.4), rng.uniform(0.05, 0.1)
        for x in (-width / 2, width / 2):
            front = (x, -0.4 * depth)
            yield "arm", block((x, 0, top + rise), (1.3 * thick, 0.95 * depth, thick), thick / 4)
            yield "arm", bar((*front, top - 0.05), (*front, top + rise), outline(thick, thick, 1, corner=3))


def stool(rng: np.random.Generator) -> Iterator[Part]:
    width, depth = 1.0, rng.uniform(0.85, 1.15)
    top = rng.uniform(0.7, 2.0)
    if rng.random() < 0.5:
        thick = rng.uniform(0.08, 0.2)
        yield "seat", slab(outline(width, depth, 1), top - thick, top, rng.uniform(0, 0.08))
        yield from legs(rng, rng.choice(ROUND), 0.75 * width, 0.75 * depth, top - 0.04, 0.95)
    else:
        yield from _seat(rng, width, depth, top, 0.5)
        yield from legs(rng, rng.choice(ANY), width, depth, top - 0.04, 0.95)


def bench(rng: np.random.Generator) -> Iterator[Part]:
    width, depth = rng.uniform(1.7, 3.0), rng.uniform(0.8, 1.1)
    top, thick = rng.uniform(0.55, 1.2), rng.uniform(0.06, 0.12)
    count = rng.integers(2, 5)
    slat = (width, depth / count * rng.uniform(0.6, 0.75), thick)
    for y in (np.arange(count) + 0.5) / count * depth - depth / 2:
        yield "seat", block((0, y, top - thick / 2), slat, thick / 6)
    inset = rng.uniform(0.75, 0.98) * width
    for x in (-0.4 * inset, 0.4 * inset):  # what the slats lie on
        yield "seat", block((x, 0, top - 1.3 * thick), (0.12, 0.95 * depth, thick))
    yield from legs(rng, rng.choice(LONG), inset, depth, top - thick, 0.4)
    if rng.random() < 0.5:
        yield from back_rest(rng, width, depth / 2 - 0.05, top - thick, rng.uniform(0.4, 1.0))
