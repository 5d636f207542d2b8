"""Synthetic rooms full of furniture and the boxes around it, to try detection without licensed data."""

from collections.abc import Callable

import numpy as np

from projects.mvnet.mvnet.boxes import SceneBoxes
from projects.mvnet.mvnet.room import BED, CABINET, FLOOR, TABLE, WALL, Box
from projects.mvnet.mvnet.scenes import SCANNET20

CHAIR, SOFA = 5, 6  # NYU40, as those of room.py
FREE = 0.9  # metres around the middle, where the cameras of write_room stand
GAP = 0.1  # metres between pieces of furniture

Blocks = list[tuple[tuple[float, float, float], tuple[float, float, float]]]
"""Lowest corner and size, in metres, of the blocks that a piece of furniture is made of."""


def _legs(length: float, width: float, height: float, thick: float) -> Blocks:
    ends = [(x, y) for x in (0.0, length - thick) for y in (0.0, width - thick)]
    return [((x, y, 0.0), (thick, thick, height)) for x, y in ends]


def _cabinet(draw: np.random.Generator) -> Blocks:
    return [((0, 0, 0), (0.5, draw.uniform(0.4, 0.9), draw.uniform(1.0, 1.9)))]


def _bed(draw: np.random.Generator) -> Blocks:
    length, width, height = draw.uniform(1.8, 2.1), draw.uniform(0.9, 1.5), draw.uniform(0.35, 0.55)
    return [((0, 0, 0), (length, width, height)), ((0, 0, 0), (0.08, width, draw.uniform(0.8, 1.1)))]


def _chair(draw: np.random.Generator) -> Blocks:
    side, seat, back = draw.uniform(0.4, 0.5), draw.uniform(0.4, 0.5), draw.uniform(0.8, 1.0)
    rest: Blocks = [((0, 0, seat), (side, side, 0.05)), ((0, 0, seat), (0.05, side, back - seat))]
    return rest + _legs(side, side, seat, 0.05)


def _sofa(draw: np.random.Generator) -> Blocks:
    length, depth, high = draw.uniform(1.4, 2.1), draw.uniform(0.75, 0.95), draw.uniform(0.7, 0.9)
    arms: Blocks = [((0, y, 0), (depth, 0.15, 0.6)) for y in (0.0, length - 0.15)]
    return [((0, 0, 0), (depth, length, 0.4)), ((0, 0, 0), (0.2, length, high)), *arms]


def _table(draw: np.random.Generator) -> Blocks:
    length, width, top = draw.uniform(0.9, 1.6), draw.uniform(0.6, 0.9), draw.uniform(0.7, 0.8)
    return [((0, 0, top - 0.05), (length, width, 0.05)), *_legs(length, width, top - 0.05, 0.06)]


FURNITURE: dict[int, Callable[[np.random.Generator], Blocks]] = {
    CABINET: _cabinet,
    BED: _bed,
    CHAIR: _chair,
    SOFA: _sofa,
    TABLE: _table,
}


def furnished_room(seed: int, most: int = 9) -> tuple[list[Box], SceneBoxes]:
    """Draw a room with furniture that does not overlap, each piece turned by quarters; the floor is at z = 0.

    Args:
        seed: Of all that is drawn.
        most: Pieces that are tried; one that finds no place in twenty attempts is left out.

    Returns:
        The boxes for ``write_room``, and the smallest box around each piece, whose class is that of
        ``SCANNET20`` by position.
    """
    draw = np.random.default_rng((seed, 1))
    width, depth, height, thick = draw.uniform(4.5, 6), draw.uniform(4, 5.5), 2.4, 0.1
    room = [Box(FLOOR, (0, 0, -thick / 2), (width, depth, thick))]
    for sign in (-1, 1):
        room.append(Box(WALL, (sign * (width + thick) / 2, 0, height / 2), (thick, depth, height)))
        room.append(Box(WALL, (0, sign * (depth + thick) / 2, height / 2), (width, thick, height)))
    taken = [(np.full(2, -FREE), np.full(2, FREE))]
    hulls, classes = [], []
    for _ in range(most):
        label = int(draw.choice(list(FURNITURE)))
        blocks = _turned(FURNITURE[label](draw), int(draw.integers(4)))
        size = np.max([np.add(*block) for block in blocks], axis=0)
        for _ in range(20):
            low = draw.uniform(-0.5, 0.5, 2) * (np.array((width, depth)) - size[:2]) - size[:2] / 2
            if all((low > high + GAP).any() or (low + size[:2] + GAP < there).any() for there, high in taken):
                taken.append((low, low + size[:2]))
                corner = np.array((*low, 0.0))
                for start, sides in blocks:
                    center = corner + start + np.array(sides) / 2
                    room.append(Box(label, tuple(center.tolist()), sides))
                hulls.append(np.concatenate([corner + size / 2, size]))
                classes.append(list(SCANNET20).index(label))
                break
    found = np.array(hulls, np.float32).reshape(-1, 6)
    return room, SceneBoxes(found, np.array(classes, np.int64))


def _turned(blocks: Blocks, quarters: int) -> Blocks:
    """Turn about z by so many quarters, so that the lowest corner of all is at the origin again."""
    for _ in range(quarters):  # x, y -> -y, x
        reach = max(start[1] + sides[1] for start, sides in blocks)
        blocks = [
            ((reach - y - sides[1], x, z), (sides[1], sides[0], sides[2])) for (x, y, z), sides in blocks
        ]
    return blocks
