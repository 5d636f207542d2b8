"""Colours of classes and parts, as many as there are, that are told apart."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from matplotlib.colors import to_rgb

LIGHTNESS = (0.42, 0.84)  # of OKLab: seen on white, and not taken for black
GRID = 18  # candidates an axis of the RGB cube


@cache
def distinct_colors(
    count: int, first: Sequence[str] = (), avoid: Sequence[str] = ("#000000", "#ffffff", "#888888")
) -> np.ndarray:
    """Return colours each of which is as far as can be from all before it, and twice as far from the last
    (after Glasbey et al., 2007, in OKLab).

    Args:
        count: How many.
        first: Colours to begin with.
        avoid: Colours to keep away from as well.

    Returns:
        (count, 3) RGB in [0, 1]; fewer colours are the first of more.
    """
    axis = np.linspace(0, 1, GRID)
    candidates = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    places = oklab(candidates)
    usable = (places[:, 0] > LIGHTNESS[0]) & (places[:, 0] < LIGHTNESS[1])
    candidates, places = candidates[usable], places[usable]
    chosen = [np.array(to_rgb(color)) for color in first]
    taken = oklab(np.array([*chosen, *(to_rgb(color) for color in avoid)]))
    distance = np.linalg.norm(places[:, None] - taken, axis=2).min(1)
    while len(chosen) < count:
        last = oklab(chosen[-1]) if chosen else places.mean(0)
        best = int(np.minimum(distance, np.linalg.norm(places - last, axis=1) / 2).argmax())
        chosen.append(candidates[best])
        distance = np.minimum(distance, np.linalg.norm(places - places[best], axis=1))
    return np.array(chosen[:count]).reshape(-1, 3)


def oklab(rgb: np.ndarray) -> np.ndarray:
    """Return OKLab (Ottosson, 2020) of sRGB (..., 3) in [0, 1]: distances are about as large as they look."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    cones = linear @ np.array(
        [
            [0.4122214708, 0.2119034982, 0.0883024619],
            [0.5363325363, 0.6806995451, 0.2817188376],
            [0.0514459929, 0.1073969566, 0.6299787005],
        ]
    )
    return np.cbrt(cones) @ np.array(
        [
            [0.2104542553, 1.9779984951, 0.0259040371],
            [0.7936177850, -2.4285922050, 0.7827717662],
            [-0.0040720468, 0.4505937099, -0.8086757660],
        ]
    )
