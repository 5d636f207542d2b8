"""Built-in furniture: seats and tables on shared legs, and three cabinets that differ in their fronts only.

Each function draws one shape of its category and yields its parts. The front looks along -y. Neighbouring
categories share their legs and the ranges of their proportions: a back rest tells a chair from a stool, slats a
bench from a table, drawers a desk from a table, and the lines of the front a dresser from a wardrobe.
"""

from collections.abc import Iterator

import numpy as np

from .solids import SLICES, Part, bar, block, lathe, outline, polygon, slab, sweep

ANY = ("four", "four", "column", "sled", "panel")  # styles of legs, the common one twice
ROUND = ("four", "three", "column")
LONG = ("four", "four", "sled", "panel")
CORNERS = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])


def legs(
    rng: np.random.Generator, style: str, width: float, depth: float, height: float, stretchers: float
) -> Iterator[Part]:
    """What carries a seat or a top of ``width`` x ``depth`` at ``height``.

    Args:
        style: ``four``, ``three``, ``column``, ``sled`` or ``panel``.
        stretchers: the chance of bars between the legs (a foot ring where there is one column).
    """
    thick = rng.uniform(0.06, 0.11) * min(1.0, width, depth)
    section = outline(thick, thick, rng.choice([0.0, 0.4, 1.0]))
    half = np.array([width - thick, depth - thick]) / 2
    joined = rng.random() < stretchers
    level = rng.uniform(0.2, 0.5) * height

    if style == "panel":
        for sign in (-1, 1):
            yield "leg", block((sign * half[0], 0, height / 2), (thick, depth * rng.uniform(0.8, 1), height))
        if joined:
            yield "leg", bar((-half[0], 0, level), (half[0], 0, level), section)
    elif style == "column":
        foot = rng.uniform(0.3, 0.5) * min(width, depth)
        yield "leg", bar((0, 0, 0), (0, 0, height), 1.6 * section, (1, rng.uniform(0.7, 1.3)))
        if rng.random() < 0.5:
            yield "leg", slab(foot * polygon(24), 0, thick * 0.7, thick * 0.2)
        else:
            for corner in foot * 1.2 * polygon(rng.integers(4, 6), rng.uniform(0, 2)):
                yield "leg", bar((0, 0, thick * 1.5), (*corner, thick * 0.4), section, (1.1, 0.6))
        if joined:
            ring = 0.75 * foot * polygon(24)
            loop = np.column_stack([np.vstack([ring, ring[:1]]), np.full(25, level)])
            yield "leg", sweep(loop, 0.6 * section, side=(0, 0, 1))
            yield "leg", bar(loop[0], loop[12], 0.5 * section)
    else:
        splay, bow = rng.choice([(0, 0), (rng.uniform(0.05, 0.2), 0), (0, rng.uniform(-0.08, 0.08))])
        taper = (rng.uniform(0.5, 1.0), 1.0)
        tops = CORNERS * half if style != "three" else polygon(3, rng.uniform(0, 2)) * half
        feet = tops + (0 if style == "sled" else splay) * height * np.sign(tops)
        for top, foot in zip(tops, feet, strict=True):
            yield "leg", bar((*foot, 0), (*top, height), section, taper, (*bow * np.sign(top), 0))
        share = level / height
        around = feet + share * (tops - feet) + 4 * share * (1 - share) * bow * np.sign(tops)
        if style == "sled":
            for a, b in ((0, 3), (1, 2)):
                yield "leg", bar((*feet[a], thick / 2), (*feet[b], thick / 2), section)
        if joined:
            pairs = [(i, (i + 1) % len(tops)) for i in range(len(tops))]
            if len(tops) == 4 and rng.random() < 0.4:  # an H instead of a ring
                yield (
                    "leg",
                    bar((*around[[0, 3]].mean(0), level), (*around[[1, 2]].mean(0), level), 0.7 * section),
                )
                pairs = [(0, 3), (1, 2)]
            for a, b in pairs:
                yield "leg", bar((*around[a], level), (*around[b], level), 0.7 * section)


def back_rest(
    rng: np.random.Generator, width: float, y: float, bottom: float, height: float
) -> Iterator[Part]:
    """A back rest at ``y`` that stands on ``bottom``, leaning backwards: a panel, slats, a ladder or a frame."""
    thick = rng.uniform(0.05, 0.09)
    lean = rng.uniform(0, 0.25) * height
    bow = (0, rng.choice([0.0, rng.uniform(0.03, 0.1)]), 0)
    half = (width - thick) / 2
    post = outline(thick, thick, rng.choice([0.0, 1.0]))
    top = bottom + height

    def at(x: float, z: float) -> tuple[float, float, float]:
        return x, y + lean * (z - bottom) / height, z

    style = rng.choice(["panel", "slats", "ladder", "frame"])
    if style == "panel":
        start = bottom + rng.choice([0.0, 0.3]) * height * (height > 0.4)
        yield (
            part,
            bar(
                at(0, start),
                at(0, top),
                outline(width, thick, rng.choice([0.0, 0.6])),
                (1, rng.uniform(0.7, 1)),
            ),
        )
        if start > bottom:
            for x in (-half / 2, half / 2):
                yield "back", bar(at(x, bottom), at(x, start + thick), 0.7 * post)
        return
    for x in (-half, half):
        yield "back", bar(at(x, bottom), at(x, top), post)
    rail = outline(thick * 0.8, rng.uniform(1.2, 2.5) * thick, rng.choice([0.0, 0.5]))
    levels = {
        "slats": [top],
        "ladder": np.linspace(top, bottom, rng.integers(2, 5), endpoint=False),
        "frame": [top],
    }
    for z in levels[style]:
        yield "back", bar(at(-half, z), at(half, z), rail, bow=bow, side=(0, 1, 0))
    if style == "slats":
        for x in np.linspace(-half, half, rng.integers(3, 6) + int(2 * width) + 1)[1:-1]:
            yield "back", bar(at(x, bottom), at(x, top), 0.6 * post, bow=bow)
    if style == "frame":
        yield "back", bar(at(0, bottom + 0.25 * height), at(0, top), outline(width - 2 * thick, thick / 2))


def seat_board(
    rng: np.random.Generator, width: float, depth: float, top: float, cushion: float
) -> Iterator[Part]:
    """A seat whose upper side is at ``top``; ``cushion`` is the chance of a pad on it."""
    thick = rng.uniform(0.05, 0.14)
    roundness = rng.choice([0.0, 0.2, 0.4])
    yield "seat", slab(outline(width, depth, roundness), top - thick, top, rng.uniform(0, 0.04))
    if rng.random() < cushion:
        pad = rng.uniform(0.05, 0.12)
        yield (
            "seat",
            slab(outline(0.92 * width, 0.92 * depth, max(0.3, roundness)), top, top + pad, 0.5 * pad),
        )


def chair(rng: np.random.Generator) -> Iterator[Part]:
    width, depth = 1.0, rng.uniform(0.85, 1.15)
    top = rng.uniform(0.6, 1.5)
    back = rng.uniform(0.3, 1.0)
    yield from seat_board(rng, width, depth, top, 0.3)
    yield from legs(rng, rng.choice(ANY), width, depth, top - 0.04, 0.4)
    yield from back_rest(rng, width, depth / 2 - 0.05, top, back)
    if rng.random() < 0.3:
        rise, thick = rng.uniform(0.25, 0.4), rng.uniform(0.05, 0.1)
        for x in (-width / 2, width / 2):
            rest = block((x, 0, top + rise), (1.3 * thick, depth * 0.95, thick), thick / 4)
            yield "arm", rest
            yield (
                "arm",
                bar((x, -depth * 0.4, top - 0.05), (x, -depth * 0.4, top + rise), outline(thick, thick, 1)),
            )


def stool(rng: np.random.Generator) -> Iterator[Part]:
    width, depth = 1.0, rng.uniform(0.85, 1.15)
    top = rng.uniform(0.7, 2.0)
    if rng.random() < 0.5:
        thick = rng.uniform(0.08, 0.2)
        yield "seat", slab(outline(width, depth, 1), top - thick, top, rng.uniform(0, 0.08))
        yield from legs(rng, rng.choice(ROUND), 0.75 * width, 0.75 * depth, top - 0.04, 0.85)
    else:
        yield from seat_board(rng, width, depth, top, 0.5)
        yield from legs(rng, rng.choice(ANY), width, depth, top - 0.04, 0.85)


def bench(rng: np.random.Generator) -> Iterator[Part]:
    width, depth = rng.uniform(1.7, 3.0), rng.uniform(0.8, 1.1)
    top = rng.uniform(0.55, 1.2)
    count = rng.integers(2, 5)
    slat = depth / count
    thick = rng.uniform(0.06, 0.12)
    for y in (np.arange(count) + 0.5) * slat - depth / 2:
        yield "seat", block((0, y, top - thick / 2), (width, slat * rng.uniform(0.6, 0.75), thick), thick / 6)
    inset = rng.uniform(0.75, 0.98) * width
    for x in (-0.4 * inset, 0.4 * inset):  # what the slats lie on
        yield "seat", block((x, 0, top - 1.3 * thick), (0.12, 0.95 * depth, thick))
    yield from legs(rng, rng.choice(LONG), inset, depth, top - thick, 0.4)
    if rng.random() < 0.5:
        yield from back_rest(rng, width, depth / 2 - 0.05, top - thick, rng.uniform(0.4, 1.0))


def table(rng: np.random.Generator) -> Iterator[Part]:
    width = rng.uniform(1.0, 2.6)
    depth = rng.uniform(0.85, 1.1) * min(width, 1.3)
    top, thick = rng.uniform(0.6, 1.7), rng.uniform(0.04, 0.1)
    roundness = rng.choice([0.0, 0.2, 1.0])
    style = rng.choice(ROUND if roundness == 1 else ANY)
    yield "top", slab(outline(width, depth, roundness), top - thick, top, rng.uniform(0, 0.03))
    inset = rng.uniform(0.6, 0.72) if roundness == 1 else rng.uniform(0.8, 0.97)
    if rng.random() < 0.7 and style != "column":
        height = rng.uniform(0.08, 0.2)
        yield "apron", block((0, 0, top - thick - height / 2), (inset * width, inset * depth, height))
    yield from legs(rng, style, inset * width, inset * depth, top - thick / 2, 0.15)


def desk(rng: np.random.Generator) -> Iterator[Part]:
    width, depth = rng.uniform(1.3, 2.6), rng.uniform(0.85, 1.1)
    top, thick = rng.uniform(0.8, 1.6), rng.uniform(0.04, 0.1)
    yield "top", slab(outline(width, depth, rng.choice([0.0, 0.2])), top - thick, top, rng.uniform(0, 0.03))
    yield from legs(rng, rng.choice(LONG), 0.95 * width, 0.95 * depth, top - thick / 2, 0.15)
    sides = rng.choice([-1, 1], rng.integers(1, 3), replace=False)
    block_width = rng.uniform(0.22, 0.32) * width
    block_height = rng.uniform(0.25, 0.85) * (top - thick)
    count = max(1, round(block_height / rng.uniform(0.2, 0.35)))
    for side in sides:
        center = np.array([side * (0.93 * width - block_width) / 2, 0, top - thick - block_height / 2])
        yield "drawer", block(center, (block_width, 0.85 * depth, block_height))
        yield from fronts(
            rng, center, (block_width, 0.85 * depth, block_height), 1, count, "drawer", "drawer", "bar"
        )
    if rng.random() < 0.3:
        height = rng.uniform(0.3, 0.6) * top
        yield "top", block((0, 0.4 * depth, top - thick - height / 2), (0.9 * width, 0.04, height))


def fronts(
    rng: np.random.Generator,
    center: np.ndarray,
    size: tuple[float, float, float],
    columns: int,
    rows: int,
    part: str,
    handle_part: str,
    handle: str,
) -> Iterator[Part]:
    """Drawer or door fronts on the -y face of a box, with gaps between them and a handle each.

    Args:
        handle: ``bar`` lies across, ``pull`` stands near the edge of a door, ``knob`` is a ball amid.
    """
    gap, proud = rng.uniform(0.03, 0.06), rng.uniform(0.03, 0.06)
    cell = np.array([size[0] / columns, size[2] / rows])
    y = center[1] - size[1] / 2 - proud / 2
    thick = rng.uniform(0.03, 0.05)
    reach = rng.uniform(0.05, 0.09)
    for column in range(columns):
        for row in range(rows):
            x = center[0] - size[0] / 2 + (column + 0.5) * cell[0]
            z = center[2] - size[2] / 2 + (row + 0.5) * cell[1]
            yield part, block((x, y, z), (cell[0] - gap, proud, cell[1] - gap), 0.01)
            grip = y - proud / 2 - reach / 2
            if handle == "bar":
                yield handle_part, block((x, grip, z), (rng.uniform(0.35, 0.4) * cell[0], reach, thick), 0.01)
            elif handle == "pull":
                inner = -1 if column % 2 else 1
                x += inner * (0.5 * cell[0] - gap - 0.05)
                yield handle_part, block((x, grip, z), (thick, reach, rng.uniform(0.2, 0.25) * cell[1]), 0.01)
            else:
                ball = [(thick * np.sin(a), -thick * np.cos(a)) for a in np.linspace(0, np.pi, SLICES)]
                yield handle_part, lathe(ball, polygon(8)) + np.array([x, grip, z])


def cabinet(rng: np.random.Generator) -> tuple[np.ndarray, tuple[float, float, float], list[Part]]:
    """The box that dresser, wardrobe and bookshelf share: its centre, its size, and the feet under it."""
    size = rng.uniform(0.9, 1.8), rng.uniform(0.5, 0.9), rng.uniform(0.9, 2.1)
    foot = rng.choice([0.0, rng.uniform(0.08, 0.3)])
    center = np.array([0, 0, foot + size[2] / 2])
    style = rng.choice(["four", "four", "panel"])
    feet = list(legs(rng, style, 0.95 * size[0], 0.95 * size[1], foot, 0)) if foot else []
    return center, size, feet


def _carcass(
    rng: np.random.Generator, center: np.ndarray, size: tuple[float, float, float]
) -> Iterator[Part]:
    yield "body", block(center, size, rng.uniform(0, 0.03))
    if rng.random() < 0.5:  # a top that stands over
        yield (
            "body",
            block(
                (0, -0.02, center[2] + size[2] / 2 + 0.02),
                (size[0] * 1.06, size[1] * 1.1, rng.uniform(0.04, 0.08)),
            ),
        )


def dresser(rng: np.random.Generator) -> Iterator[Part]:
    center, size, feet = cabinet(rng)
    yield from feet
    yield from _carcass(rng, center, size)
    rows = max(3, round(size[2] / rng.uniform(0.3, 0.5)))
    yield from fronts(
        rng, center, size, rng.integers(1, 3), rows, "drawer", "handle", rng.choice(["bar", "knob"])
    )


def wardrobe(rng: np.random.Generator) -> Iterator[Part]:
    center, size, feet = cabinet(rng)
    yield from feet
    yield from _carcass(rng, center, size)
    columns = max(2, round(size[0] / rng.uniform(0.45, 0.7)))
    yield from fronts(rng, center, size, columns, 1, "door", "handle", rng.choice(["pull", "knob"]))


def bookshelf(rng: np.random.Generator) -> Iterator[Part]:
    (_, _, z), (width, depth, height), feet = cabinet(rng)
    yield from feet
    thick = rng.uniform(0.04, 0.08)
    bottom = z - height / 2
    for x in (-width / 2 + thick / 2, width / 2 - thick / 2):
        yield "frame", block((x, 0, z), (thick, depth, height))
    if rng.random() < 0.8:
        yield "frame", block((0, depth / 2 - thick / 4, z), (width - thick, thick / 2, height))
    levels = np.linspace(
        bottom + thick / 2, bottom + height - thick / 2, max(3, round(height / rng.uniform(0.3, 0.5))) + 1
    )
    for level in levels:
        yield "shelf", block((0, 0, level), (width - thick, 0.97 * depth, thick))
    spacing = levels[1] - levels[0] - thick
    for level in levels[:-1]:
        if rng.random() < 0.5:  # a row of books, as one block that fills a part of the shelf
            row, tall = rng.uniform(0.25, 0.8) * width, rng.uniform(0.6, 0.9) * spacing
            x = rng.uniform(-1, 1) * (width - 2 * thick - row) / 2
            yield "book", block((x, 0.1 * depth, level + (thick + tall) / 2), (row, 0.7 * depth, tall))
