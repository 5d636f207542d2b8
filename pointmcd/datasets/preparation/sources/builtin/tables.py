"""Built-in tables and cabinets.

Drawers under the top tell a desk from a table; dresser, wardrobe and bookshelf are one box with three fronts.
Each category's function draws one shape and yields its parts; the front looks along -y.
"""

from collections.abc import Iterator

import numpy as np

from pointmcd.datasets.preparation.sources.builtin.seats import ANY, LONG, ROUND, legs
from pointmcd.datasets.preparation.sources.builtin.solids import Part, block, lathe, outline, polygon, slab

Size = tuple[float, float, float]
"""Width, depth and height of a box."""


def table(rng: np.random.Generator) -> Iterator[Part]:
    width = rng.uniform(1.0, 2.6)
    depth = rng.uniform(0.85, 1.1) * min(width, 1.3)
    top, thick = rng.uniform(0.6, 1.7), rng.uniform(0.04, 0.1)
    roundness = rng.choice([0.0, 0.2, 1.0])
    yield "top", slab(outline(width, depth, roundness), top - thick, top, rng.uniform(0, 0.03))
    inset = rng.uniform(0.6, 0.72) if roundness == 1 else rng.uniform(0.8, 0.97)
    style = rng.choice(ROUND if roundness == 1 else ANY)
    if rng.random() < 0.7 and style != "column":
        height = rng.uniform(0.08, 0.2)
        yield "apron", block((0, 0, top - thick - height / 2), (inset * width, inset * depth, height))
    yield from legs(rng, style, inset * width, inset * depth, top - thick / 2, 0.1)


def desk(rng: np.random.Generator) -> Iterator[Part]:
    width, depth = rng.uniform(1.3, 2.6), rng.uniform(0.85, 1.1)
    top, thick = rng.uniform(0.8, 1.6), rng.uniform(0.04, 0.1)
    yield "top", slab(outline(width, depth, rng.choice([0.0, 0.2])), top - thick, top, rng.uniform(0, 0.03))
    yield from legs(rng, rng.choice(LONG), 0.95 * width, 0.95 * depth, top - thick / 2, 0.15)
    size = (rng.uniform(0.22, 0.32) * width, 0.85 * depth, rng.uniform(0.25, 0.85) * (top - thick))
    rows = max(1, round(size[2] / rng.uniform(0.2, 0.35)))
    for side in rng.choice([-1, 1], rng.integers(1, 3), replace=False):
        center = np.array([side * (0.93 * width - size[0]) / 2, 0, top - thick - size[2] / 2])
        yield "drawer", block(center, size)
        for _, rings in _fronts(rng, center, size, 1, rows, "drawer", "bar"):
            yield "drawer", rings
    if rng.random() < 0.3:  # a board behind the knees
        height = rng.uniform(0.3, 0.6) * top
        yield "top", block((0, 0.4 * depth, top - thick - height / 2), (0.9 * width, 0.04, height))


def _fronts(
    rng: np.random.Generator, center: np.ndarray, size: Size, columns: int, rows: int, part: str, handle: str
) -> Iterator[Part]:
    """Make drawers or doors on the -y face of a box, with gaps between them and a handle each.

    Args:
        center: Of the box, (3,).
        size: Of the box.
        part: What a front is called.
        handle: ``bar`` lies across, ``pull`` stands near the edge of a door, ``knob`` is a ball amid.
    """
    gap, proud, reach = rng.uniform(0.03, 0.06), rng.uniform(0.03, 0.06), rng.uniform(0.05, 0.09)
    thick, length = rng.uniform(0.03, 0.05), rng.uniform(0.2, 0.4)
    ball = [(thick * np.sin(angle), -thick * np.cos(angle)) for angle in np.linspace(0, np.pi, 6)]
    width, height = size[0] / columns, size[2] / rows
    face = center[1] - size[1] / 2
    for column in range(columns):
        for row in range(rows):
            x = center[0] - size[0] / 2 + (column + 0.5) * width
            z = center[2] - size[2] / 2 + (row + 0.5) * height
            yield part, block((x, face - proud / 2, z), (width - gap, proud, height - gap), 0.01)
            y = face - proud - reach / 2
            if handle == "bar":
                yield "handle", block((x, y, z), (length * width, reach, thick), 0.01)
            elif handle == "pull":
                x += (-1 if column % 2 else 1) * (width / 2 - gap - 0.05)
                yield "handle", block((x, y, z), (thick, reach, 0.6 * length * height), 0.01)
            else:
                yield "handle", lathe(ball, polygon(8)) + np.array([x, y, z])


def _cabinet(rng: np.random.Generator) -> tuple[np.ndarray, Size, list[Part]]:
    """Return the box that all cabinets share: its centre (3,), its size, and the feet under it, if any."""
    size = rng.uniform(0.9, 1.8), rng.uniform(0.5, 0.9), rng.uniform(0.9, 2.1)
    foot = rng.choice([0.0, rng.uniform(0.08, 0.3)])
    style = rng.choice(["four", "four", "panel"])
    feet = list(legs(rng, style, 0.95 * size[0], 0.95 * size[1], foot, 0)) if foot else []
    return np.array([0, 0, foot + size[2] / 2]), size, feet


def _body(rng: np.random.Generator, center: np.ndarray, size: Size) -> Iterator[Part]:
    yield "body", block(center, size, rng.uniform(0, 0.03))
    if rng.random() < 0.5:  # a top that stands over
        top = (1.06 * size[0], 1.1 * size[1], rng.uniform(0.04, 0.08))
        yield "body", block((0, -0.02, center[2] + size[2] / 2 + 0.02), top)


def dresser(rng: np.random.Generator) -> Iterator[Part]:
    center, size, feet = _cabinet(rng)
    yield from feet
    yield from _body(rng, center, size)
    rows = max(3, round(size[2] / rng.uniform(0.3, 0.5)))
    columns, handle = int(rng.integers(1, 3)), rng.choice(["bar", "knob"])
    yield from _fronts(rng, center, size, columns, rows, "drawer", handle)


def wardrobe(rng: np.random.Generator) -> Iterator[Part]:
    center, size, feet = _cabinet(rng)
    yield from feet
    yield from _body(rng, center, size)
    columns = max(2, round(size[0] / rng.uniform(0.45, 0.7)))
    yield from _fronts(rng, center, size, columns, 1, "door", rng.choice(["pull", "knob"]))


def bookshelf(rng: np.random.Generator) -> Iterator[Part]:
    (_, _, middle), (width, depth, height), feet = _cabinet(rng)
    yield from feet
    thick = rng.uniform(0.04, 0.08)
    for x in (-(width - thick) / 2, (width - thick) / 2):
        yield "frame", block((x, 0, middle), (thick, depth, height))
    if rng.random() < 0.8:
        yield "frame", block((0, depth / 2 - thick / 4, middle), (width - thick, thick / 2, height))
    shelves = max(3, round(height / rng.uniform(0.3, 0.5))) + 1
    levels, spacing = np.linspace(thick / 2, height - thick / 2, shelves, retstep=True)
    levels += middle - height / 2
    for level in levels:
        yield "shelf", block((0, 0, level), (width - thick, 0.97 * depth, thick))
    for level in levels[:-1]:
        if rng.random() < 0.5:  # a row of books, as one block that fills a part of the shelf
            row, tall = rng.uniform(0.25, 0.8) * width, rng.uniform(0.6, 0.9) * (spacing - thick)
            x = rng.uniform(-1, 1) * (width - 2 * thick - row) / 2
            yield "book", block((x, 0.1 * depth, level + (thick + tall) / 2), (row, 0.7 * depth, tall))
