"""Built-in vessels and the lamp: bodies of revolution that share their profiles.

An open rim, a handle, a spout, a lid or a cap is all that tells neighbours apart: a bowl has no handle and a cup
has one, a jug is a vase with a handle and a lip, a bottle is a vase that is closed.
"""

from collections.abc import Iterator

import numpy as np

from .solids import Part, bezier, lathe, outline, polygon, slab, sweep


def _section(rng: np.random.Generator) -> np.ndarray:
    """The horizontal section of a vessel, of radius about 1: round, or else a soft square or a polygon."""
    draw = rng.random()
    if draw < 0.7:
        return polygon(28)
    if draw < 0.85:
        return outline(1.8, 1.8, 0.5)
    return polygon(rng.integers(6, 9), rng.uniform(0, 1))


def _wall(outer: np.ndarray, thickness: float) -> np.ndarray:
    """The profile of an open vessel: up the ``outer`` wall (R, 2) from foot to rim, and down inside."""
    inner = outer[::-1] - (thickness, 0)
    inner[:, 1] = np.maximum(inner[:, 1], outer[0, 1] + thickness)
    return np.vstack([outer, inner])


def _side(rng: np.random.Generator, height: float) -> np.ndarray:
    """The wall of a wide vessel (bowl, cup): radius and height from the foot to a rim of radius 0.5."""
    foot = rng.uniform(0.2, 0.48)
    belly = rng.uniform(max(0.38, foot), 0.6)
    style = rng.choice(["bezier", "cone", "steps"])
    if style == "cone":
        return np.column_stack([np.linspace(foot, 0.5, 8), np.linspace(0, height, 8)])
    if style == "steps":
        return np.array([(foot, 0), (belly * 0.98, 0.25 * height), (belly, 0.6 * height), (0.5, height)])
    return bezier([(foot, 0), (belly, 0), (belly, 0.6 * height), (0.5, height)])


def _necked(rng: np.random.Generator, height: float) -> np.ndarray:
    """The wall of a tall vessel (vase, jug, bottle): foot, belly, neck and mouth."""
    foot, belly = rng.uniform(0.22, 0.42), rng.uniform(0.45, 0.75)
    neck, mouth = rng.uniform(0.08, 0.26), rng.uniform(0.14, 0.3)
    shoulder = rng.uniform(0.45, 0.7) * height
    if rng.random() < 0.3:  # straight sides and a hard shoulder
        straight = rng.uniform(0.3, 0.45)
        return np.array(
            [
                (straight, 0),
                (straight, shoulder),
                (neck, shoulder + 0.12 * height),
                (neck, 0.9 * height),
                (mouth, height),
            ]
        )
    return bezier(
        [
            (foot, 0),
            (belly, 0.15 * height),
            (belly * 1.2, shoulder),
            (neck * 0.5, shoulder + 0.1 * height),
            (mouth, height),
        ],
        16,
    )


def _radius_at(wall: np.ndarray, z: float) -> float:
    return float(np.interp(z, wall[:, 1], wall[:, 0]))


def _handle(rng: np.random.Generator, wall: np.ndarray, low: float, high: float, thick: float) -> np.ndarray:
    """A grip on the +x side between two heights: a loop, an ear or an angular bracket."""
    bottom, top = (_radius_at(wall, low) * 0.95, low), (_radius_at(wall, high) * 0.95, high)
    reach = max(bottom[0], top[0]) + rng.uniform(0.6, 1.1) * (high - low) * 0.6
    style = rng.choice(["loop", "ear", "bracket"])
    if style == "bracket":
        drop = 0.1 * (high - low)
        path = np.array(
            [
                bottom,
                (0.9 * reach, low),
                (0.9 * reach, low + drop),
                (0.9 * reach, high - drop),
                (0.9 * reach, high),
                top,
            ]
        )
    else:
        lift = rng.uniform(-0.2, 0.25) * (high - low) if style == "ear" else 0
        path = bezier([bottom, (1.15 * reach, low), (1.15 * reach, high + lift), top])
    path = np.insert(path, 1, 0.0, axis=1)
    return sweep(path, outline(rng.uniform(1, 2) * thick, thick, rng.choice([0.4, 1.0])), side=(0, 1, 0))


def _foot_ring(rng: np.random.Generator, wall: np.ndarray, chance: float, part: str) -> Iterator[Part]:
    if rng.random() < chance:
        radius = wall[0, 0] * rng.uniform(0.8, 1.1)
        yield part, slab(radius * polygon(24), -rng.uniform(0.03, 0.12), 0.01)


def bowl(rng: np.random.Generator) -> Iterator[Part]:
    wall = _side(rng, rng.uniform(0.3, 0.9))
    yield "body", lathe(_wall(wall, rng.uniform(0.02, 0.06)), _section(rng))
    yield from _foot_ring(rng, wall, 0.5, "foot")
    if rng.random() < 0.2:
        yield from _saucer(rng)


def _saucer(rng: np.random.Generator) -> Iterator[Part]:
    radius = rng.uniform(0.6, 0.8)
    yield "saucer", lathe(_wall(np.array([(0.35, -0.06), (radius, 0.03)]), 0.03), polygon(28))


def cup(rng: np.random.Generator) -> Iterator[Part]:
    height = rng.uniform(0.45, 1.3)
    wall = _side(rng, height)
    yield "body", lathe(_wall(wall, rng.uniform(0.02, 0.06)), _section(rng))
    low, high = rng.uniform(0.15, 0.35) * height, rng.uniform(0.65, 0.92) * height
    yield "handle", _handle(rng, wall, low, high, rng.uniform(0.06, 0.1))
    yield from _foot_ring(rng, wall, 0.3, "body")
    if rng.random() < 0.3:
        yield from _saucer(rng)


def vase(rng: np.random.Generator) -> Iterator[Part]:
    height = rng.uniform(1.0, 2.0)
    wall = _necked(rng, height)
    yield "body", lathe(_wall(wall, 0.03), _section(rng))
    yield from _foot_ring(rng, wall, 0.4, "foot")


def jug(rng: np.random.Generator) -> Iterator[Part]:
    height = rng.uniform(0.9, 1.8)
    wall = _necked(rng, height) if rng.random() < 0.6 else _side(rng, height)
    body = lathe(_wall(wall, 0.03), _section(rng))
    # the rim is drawn out to a lip on the side away from the handle
    angle = np.arctan2(body[..., 1], -body[..., 0])
    rise = np.clip((body[..., 2] / height - 0.8) / 0.2, 0, 1) ** 2
    lip = 1 + rng.uniform(0.4, 0.9) * rise * np.exp(-((angle / 0.5) ** 2))
    body[..., :2] *= lip[..., None]
    yield "body", body
    low, high = rng.uniform(0.2, 0.4) * height, rng.uniform(0.75, 0.95) * height
    yield "handle", _handle(rng, wall, low, high, rng.uniform(0.06, 0.1))
    yield from _foot_ring(rng, wall, 0.3, "body")


def bottle(rng: np.random.Generator) -> Iterator[Part]:
    height = rng.uniform(1.0, 2.0)
    wall = _necked(rng, height)
    yield "body", lathe(wall, _section(rng))
    mouth = wall[-1, 0]
    if rng.random() < 0.5:
        cap = mouth * rng.uniform(1.0, 1.25)
        yield "cap", slab(cap * polygon(20), height, height + rng.uniform(0.08, 0.2), 0.02)
    else:  # a stopper
        yield (
            "cap",
            lathe(
                bezier([(0.8 * mouth, height), (1.6 * mouth, height + 0.1), (0, height + 0.25)], 8),
                polygon(20),
            ),
        )
    yield from _foot_ring(rng, wall, 0.2, "body")


def _lid(rng: np.random.Generator, radius: float, height: float, section: np.ndarray) -> Iterator[Part]:
    rise = rng.uniform(0.03, 0.25)
    dome = bezier(
        [
            (radius * 1.05, height),
            (radius * 1.05, height + 0.05),
            (radius, height + rise),
            (0.02, height + rise),
        ],
        8,
    )
    yield "lid", lathe(dome, section)
    knob, top = rng.uniform(0.06, 0.12), height + rise
    if rng.random() < 0.7:
        yield (
            "lid",
            lathe(
                bezier(
                    [
                        (0.5 * knob, top - 0.02),
                        (0.4 * knob, top + knob),
                        (2 * knob, top + knob),
                        (0, top + 2 * knob),
                    ]
                ),
                polygon(16),
            ),
        )


def jar(rng: np.random.Generator) -> Iterator[Part]:
    height = rng.uniform(0.5, 1.4)
    section = _section(rng)
    wall = _side(rng, height)
    yield "body", lathe(wall, section)
    yield from _lid(rng, wall[-1, 0], height, section)
    yield from _foot_ring(rng, wall, 0.4, "body")


def teapot(rng: np.random.Generator) -> Iterator[Part]:
    height = rng.uniform(0.6, 1.3)
    section = _section(rng)
    wall = _side(rng, height)
    yield "body", lathe(wall, section)
    yield from _lid(rng, wall[-1, 0], height, section)
    low, high = rng.uniform(0.15, 0.35) * height, rng.uniform(0.7, 0.92) * height
    yield "handle", _handle(rng, wall, low, high, rng.uniform(0.06, 0.1))
    start, reach, tip = (
        rng.uniform(0.15, 0.4) * height,
        rng.uniform(0.75, 1.1),
        height * rng.uniform(0.85, 1.1),
    )
    root = _radius_at(wall, start) * 0.8
    path = bezier(
        [(-root, 0, start), (-0.85 * reach, 0, start), (-0.8 * reach, 0, 0.8 * tip), (-reach, 0, tip)]
    )
    thick = rng.uniform(0.2, 0.32)
    yield "spout", sweep(path, outline(thick, thick, 1), np.linspace(1, 0.35, len(path)), side=(0, 1, 0))
    yield from _foot_ring(rng, wall, 0.4, "body")


def lamp(rng: np.random.Generator) -> Iterator[Part]:
    height = rng.uniform(1.0, 2.2)
    shade = (
        rng.uniform(0.35, 0.6),
        rng.uniform(0.12, 0.4),
        rng.uniform(0.35, 0.6),
    )  # lower and upper radius, height
    foot = rng.uniform(0.25, 0.5)
    middle = height - 0.5 * shade[2]
    if rng.random() < 0.5:  # a base like a vase
        wall = _necked(rng, 0.75 * height) * (0.7, 1)
        yield "base", lathe(wall, _section(rng))
    else:
        yield "base", slab(foot * polygon(24), 0, rng.uniform(0.05, 0.15), 0.03)
    pole = rng.uniform(0.03, 0.06)
    yield "pole", slab(pole * polygon(12), 0.02, middle)
    cone = np.array([(shade[0], height - shade[2]), (shade[1], height)])
    yield "shade", lathe(np.vstack([cone, cone[::-1] - (0.02, 0)]), _section(rng))
