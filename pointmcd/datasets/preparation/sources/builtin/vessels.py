"""Built-in vessels and the lamp: bodies of revolution that share their profiles.

Details tell neighbours apart: a cup is a bowl with a handle, a jar one with a lid, a teapot a jar with handle
and spout; a jug is a vase with a handle and a lip, a bottle a vase that is closed. Each category's function
draws one shape and yields its parts. A profile is (R, 2), radius and height, from the foot to the rim.
"""

from collections.abc import Iterator

import numpy as np

from pointmcd.datasets.preparation.sources.builtin.solids import (
    Part,
    bezier,
    lathe,
    outline,
    polygon,
    slab,
    sweep,
)


def _section(rng: np.random.Generator) -> np.ndarray:
    """Return the section (S, 2) of a vessel, of radius about 1: round, a soft square, or a polygon."""
    draw = rng.random()
    if draw < 0.7:
        return polygon(28)
    if draw < 0.85:
        return outline(1.8, 1.8, 0.5)
    return polygon(int(rng.integers(6, 9)), rng.uniform(0, 1))


def _wide(rng: np.random.Generator, height: float) -> np.ndarray:
    """Return the profile of a wide vessel: round, conical or stepped, with a rim of radius 0.5."""
    foot = rng.uniform(0.2, 0.48)
    belly = rng.uniform(max(0.38, foot), 0.6)
    style = rng.choice(["round", "cone", "step"])
    if style == "cone":
        return np.linspace((foot, 0), (0.5, height), 8)
    if style == "step":
        return np.array([(foot, 0), (0.98 * belly, 0.25 * height), (belly, 0.6 * height), (0.5, height)])
    return bezier([(foot, 0), (belly, 0), (belly, 0.6 * height), (0.5, height)])


def _tall(rng: np.random.Generator, height: float) -> np.ndarray:
    """Return the profile of a tall vessel: foot, belly, neck and mouth, or straight with a hard shoulder."""
    foot, belly = rng.uniform(0.22, 0.42), rng.uniform(0.45, 0.75)
    neck, mouth = rng.uniform(0.08, 0.26), rng.uniform(0.14, 0.3)
    shoulder = rng.uniform(0.45, 0.7) * height
    above = shoulder + 0.1 * height
    if rng.random() < 0.3:
        side = rng.uniform(0.3, 0.45)
        return np.array([(side, 0), (side, shoulder), (neck, above), (neck, 0.9 * height), (mouth, height)])
    control = [
        (foot, 0),
        (belly, 0.15 * height),
        (1.2 * belly, shoulder),
        (0.5 * neck, above),
        (mouth, height),
    ]
    return bezier(control, 16)


def _open(profile: np.ndarray, thickness: float) -> np.ndarray:
    """Follow a profile up and come back down inside, ``thickness`` away: a vessel that is open above."""
    inner = profile[::-1] - (thickness, 0)
    inner[:, 1] = np.maximum(inner[:, 1], profile[0, 1] + thickness)
    return np.vstack([profile, inner])


def _radius(profile: np.ndarray, height: float) -> float:
    return float(np.interp(height, profile[:, 1], profile[:, 0]))


def _handle(rng: np.random.Generator, profile: np.ndarray) -> Iterator[Part]:
    """Yield a loop, an ear that rises above its roots, or an angular bracket, on the +x side."""
    height, thick = profile[-1, 1], rng.uniform(0.06, 0.1)
    low, high = rng.uniform(0.15, 0.38) * height, rng.uniform(0.68, 0.94) * height
    start, end = (0.95 * _radius(profile, low), low), (0.95 * _radius(profile, high), high)
    reach = max(start[0], end[0]) + rng.uniform(0.35, 0.65) * (high - low)
    style = rng.choice(["loop", "ear", "bracket"])
    if style == "bracket":
        drop = 0.1 * (high - low)
        outer = [(reach, low), (reach, low + drop), (reach, high - drop), (reach, high)]
        path = np.array([start, *outer, end])
    else:
        lift = rng.uniform(-0.2, 0.25) * (high - low) if style == "ear" else 0.0
        path = bezier([start, (1.15 * reach, low), (1.15 * reach, high + lift), end])
    section = outline(rng.uniform(1, 2) * thick, thick, rng.choice([0.4, 1.0]), corner=4)
    yield "handle", sweep(np.insert(path, 1, 0.0, axis=1), section, side=(0, 1, 0))


def _foot(rng: np.random.Generator, profile: np.ndarray, chance: float) -> Iterator[Part]:
    if rng.random() < chance:
        radius = profile[0, 0] * rng.uniform(0.8, 1.1)
        yield "body", slab(radius * polygon(24), -rng.uniform(0.03, 0.12), 0.01)


def _saucer(rng: np.random.Generator, chance: float) -> Iterator[Part]:
    if rng.random() < chance:
        rim = (rng.uniform(0.6, 0.8), 0.03)
        yield "saucer", lathe(_open(np.array([(0.35, -0.06), rim]), 0.03), polygon(28))


def _lid(rng: np.random.Generator, profile: np.ndarray, section: np.ndarray) -> Iterator[Part]:
    radius, height = profile[-1]
    top = height + rng.uniform(0.03, 0.25)
    dome = [(1.05 * radius, height), (1.05 * radius, height + 0.05), (radius, top), (0, top)]
    yield "lid", lathe(bezier(dome, 8), section)
    if rng.random() < 0.7:
        knob = rng.uniform(0.06, 0.12)
        ball = [
            (0.5 * knob, top - 0.02),
            (0.4 * knob, top + knob),
            (2 * knob, top + knob),
            (0, top + 2 * knob),
        ]
        yield "lid", lathe(bezier(ball), polygon(16))


def bowl(rng: np.random.Generator) -> Iterator[Part]:
    profile = _wide(rng, rng.uniform(0.3, 0.9))
    yield "body", lathe(_open(profile, rng.uniform(0.02, 0.06)), _section(rng))
    yield from _foot(rng, profile, 0.5)
    yield from _saucer(rng, 0.2)


def cup(rng: np.random.Generator) -> Iterator[Part]:
    profile = _wide(rng, rng.uniform(0.4, 1.2))
    yield "body", lathe(_open(profile, rng.uniform(0.02, 0.06)), _section(rng))
    yield from _handle(rng, profile)
    yield from _foot(rng, profile, 0.3)
    yield from _saucer(rng, 0.3)


def vase(rng: np.random.Generator) -> Iterator[Part]:
    height = rng.uniform(1.0, 2.0)
    if rng.random() < 0.7:
        profile = _tall(rng, height)
    else:  # a trumpet: slender, opening upwards
        foot, waist, mouth = rng.uniform(0.2, 0.35), rng.uniform(0.1, 0.25), rng.uniform(0.35, 0.5)
        profile = bezier([(foot, 0), (waist, 0.3 * height), (waist, 0.7 * height), (mouth, height)])
    yield "body", lathe(_open(profile, 0.03), _section(rng))
    yield from _foot(rng, profile, 0.4)


def jug(rng: np.random.Generator) -> Iterator[Part]:
    height = rng.uniform(0.9, 1.8)
    profile = _tall(rng, height) if rng.random() < 0.6 else _wide(rng, height)
    body = lathe(_open(profile, 0.03), _section(rng))
    # the rim is drawn out to a lip on the side away from the handle
    angle = np.arctan2(body[..., 1], -body[..., 0])
    near_rim = np.clip((body[..., 2] / height - 0.8) / 0.2, 0, 1) ** 2
    lip = rng.uniform(0.4, 0.9) * near_rim * np.exp(-((angle / 0.5) ** 2))
    body[..., :2] *= 1 + lip[..., None]
    yield "body", body
    yield from _handle(rng, profile)
    yield from _foot(rng, profile, 0.3)


def bottle(rng: np.random.Generator) -> Iterator[Part]:
    profile = _tall(rng, rng.uniform(1.0, 2.0))
    yield "body", lathe(profile, _section(rng))
    mouth, height = profile[-1]
    if rng.random() < 0.5:
        radius, length = mouth * rng.uniform(1.0, 1.25), rng.uniform(0.08, 0.2)
        yield "cap", slab(radius * polygon(20), height, height + length, 0.02)
    else:
        stopper = [(0.8 * mouth, height), (1.6 * mouth, height + 0.1), (0, height + 0.25)]
        yield "cap", lathe(bezier(stopper, 8), polygon(20))
    yield from _foot(rng, profile, 0.2)


def jar(rng: np.random.Generator) -> Iterator[Part]:
    profile, section = _wide(rng, rng.uniform(0.5, 1.4)), _section(rng)
    yield "body", lathe(profile, section)
    yield from _lid(rng, profile, section)
    yield from _foot(rng, profile, 0.4)


def teapot(rng: np.random.Generator) -> Iterator[Part]:
    height = rng.uniform(0.6, 1.3)
    profile, section = _wide(rng, height), _section(rng)
    yield "body", lathe(profile, section)
    yield from _lid(rng, profile, section)
    yield from _handle(rng, profile)
    low, reach = rng.uniform(0.15, 0.4) * height, rng.uniform(0.9, 1.2)
    tip, thick = rng.uniform(0.85, 1.1) * height, rng.uniform(0.2, 0.32)
    root = 0.8 * _radius(profile, low)
    path = bezier([(-root, 0, low), (-0.85 * reach, 0, low), (-0.8 * reach, 0, 0.8 * tip), (-reach, 0, tip)])
    yield (
        "spout",
        sweep(path, outline(thick, thick, 1, corner=4), np.linspace(1, 0.35, len(path)), side=(0, 1, 0)),
    )
    yield from _foot(rng, profile, 0.4)


def lamp(rng: np.random.Generator) -> Iterator[Part]:
    height, shade = rng.uniform(1.0, 2.2), rng.uniform(0.35, 0.6)
    if rng.random() < 0.5:
        yield "base", lathe(_tall(rng, 0.75 * height) * (0.7, 1), _section(rng))
    else:
        yield "base", slab(rng.uniform(0.25, 0.5) * polygon(24), 0, rng.uniform(0.05, 0.15), 0.03)
    yield "pole", slab(rng.uniform(0.03, 0.06) * polygon(12), 0.02, height - 0.5 * shade)
    cone = np.array([(rng.uniform(0.35, 0.6), height - shade), (rng.uniform(0.12, 0.4), height)])
    yield "shade", lathe(np.vstack([cone, cone[::-1] - (0.02, 0)]), _section(rng))
