"""The surfaces that built-in shapes are made of: every one is a stack of closed rings.

A slab, a table leg, a bowl with its inner wall and a bent handle are all ``rings``, an array (R, S, 3) of R
closed rings of S points, neighbours joined by quads and both ends closed by a fan. Rings turn anticlockwise
about the direction they are stacked in, so that faces look outwards. Lengths are arbitrary, since preparation
normalises a shape. z is up.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

Part = tuple[str, np.ndarray]  # the part's name and its rings (R, S, 3)

SLICES = 6  # rings along a straight member, so that a bend of the whole shape bends it too


def outline(width: float, depth: float, roundness: float = 0.0, corner: int = 6) -> np.ndarray:
    """Return a rectangle whose corners are quarter ellipses, counter-clockwise.

    Args:
        width: Extent along x.
        depth: Extent along y.
        roundness: 0 a rectangle (4 points), 1 an ellipse, between them rounded corners.
        corner: Points a corner where it is rounded.

    Returns:
        (S, 2) points around the origin, S = 4 or 4 * ``corner``.
    """
    count = corner if roundness > 0 else 1
    angle = (np.arange(4)[:, None] + (np.arange(count) + 0.5) / count) * (np.pi / 2)
    half = np.array([width, depth]) / 2
    quadrant = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])[:, None]
    arc = np.stack([np.cos(angle), np.sin(angle)], -1) if roundness > 0 else quadrant
    return (half * ((1 - roundness) * quadrant + roundness * arc)).reshape(-1, 2)


def polygon(sides: int, turn: float = 0.0) -> np.ndarray:
    """Return a regular polygon (sides, 2) of radius 1, its first corner at ``turn`` radians."""
    angle = turn + np.arange(sides) * (2 * np.pi / sides)
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def lathe(profile: ArrayLike, section: np.ndarray) -> np.ndarray:
    """Scale ``section`` (S, 2) along a ``profile`` (R, 2) of radius and height.

    A profile may turn round and come back lower, as the wall of a bowl does; radius 0 closes it to a point.
    """
    radius, height = np.asarray(profile, float).T
    rings = np.empty((len(radius), len(section), 3))
    rings[..., :2] = radius[:, None, None] * section
    rings[..., 2] = height[:, None]
    return rings


def slab(section: np.ndarray, bottom: float, top: float, bevel: float = 0.0) -> np.ndarray:
    """Return a plate or block: ``section`` (S, 2) extruded from ``bottom`` to ``top``.

    Args:
        bevel: How far the upper and lower edges are cut back, in units of length; at most a third of the
            thickness and of the section's half extent is taken.
    """
    if bevel <= 0:
        return lathe([(1, z) for z in np.linspace(bottom, top, SLICES)], section)
    half = np.ptp(section, axis=0) / 2
    bevel = min(bevel, (top - bottom) / 3, half.min() / 3)
    height = [bottom, *np.linspace(bottom + bevel, top - bevel, SLICES - 2), top]
    rings = lathe([(1, z) for z in height], section)
    rings[[0, -1], :, :2] *= 1 - bevel / half
    return rings


def block(center: ArrayLike, size: ArrayLike, bevel: float = 0.0, roundness: float = 0.0) -> np.ndarray:
    """Return an upright box of ``size`` (3,) around ``center`` (3,); see :func:`slab` and :func:`outline`."""
    width, depth, height = np.asarray(size, float)
    return slab(outline(width, depth, roundness), -height / 2, height / 2, bevel) + np.asarray(center, float)


def sweep(
    path: ArrayLike, section: np.ndarray, scale: ArrayLike = 1.0, side: ArrayLike = (1, 0, 0)
) -> np.ndarray:
    """Carry ``section`` (S, 2) along ``path`` (R, 3): legs, rails, handles and spouts.

    Args:
        scale: One factor, or (R,) factors along the path.
        side: The direction (3,) of the section's first axis; nowhere parallel to the path.
    """
    path = np.asarray(path, float)
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    across = np.asarray(side, float) - (tangent @ side)[:, None] * tangent
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    frame = np.stack([across, np.cross(tangent, across)], 1)
    scale = np.broadcast_to(np.asarray(scale, float), len(path))
    return path[:, None] + scale[:, None, None] * (section @ frame)


def bar(
    start: ArrayLike,
    end: ArrayLike,
    section: np.ndarray,
    taper: tuple[float, float] = (1, 1),
    bow: ArrayLike = (0, 0, 0),
    side: ArrayLike | None = None,
) -> np.ndarray:
    """Return a member from ``start`` to ``end``, scaled by ``taper``, its middle moved by ``bow``."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    t = np.linspace(0, 1, SLICES)[:, None]
    path = start + t * (end - start) + 4 * t * (1 - t) * np.asarray(bow, float)
    if side is None:  # the axis that the member follows least, x before y before z
        side = np.eye(3)[np.argmin(np.abs(end - start).round(9))]
    return sweep(path, section, np.linspace(*taper, SLICES), side)


def bezier(control: ArrayLike, count: int = 12) -> np.ndarray:
    """Return ``count`` points of the Bezier curve of ``control`` points (K, D), both ends included."""
    points = np.asarray(control, float)[:, None]
    t = np.linspace(0, 1, count)[:, None]
    while len(points) > 1:  # de Casteljau
        points = (1 - t) * points[:-1] + t * points[1:]
    return points[0]


def assemble(parts: Iterable[Part], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Join parts into one mesh.

    Args:
        parts: Pairs of a part's name and its rings.
        names: The list that part ids index.

    Returns:
        vertices (V, 3) float64; faces (F, 3) int64, none of zero area; part id of each face (F,) int64.
    """
    vertices, faces, ids = [], [], []
    first = 0
    for name, rings in parts:
        count, size = rings.shape[:2]
        ends = rings[[0, -1]].mean(1)
        vertices += [rings.reshape(-1, 3), ends]
        corner = first + np.arange(count * size).reshape(count, size)
        after = np.roll(corner, -1, axis=1)
        a, b, c, d = corner[:-1], after[:-1], after[1:], corner[1:]
        bottom = np.broadcast_to(first + count * size, size)
        part = np.concatenate(
            [
                np.stack([a, b, c], -1).reshape(-1, 3),
                np.stack([a, c, d], -1).reshape(-1, 3),
                np.stack([bottom, after[0], corner[0]], -1),
                np.stack([bottom + 1, corner[-1], after[-1]], -1),
            ]
        )
        faces.append(part)
        ids.append(np.full(len(part), names.index(name)))
        first += count * size + 2
    points, triangles, part_ids = np.concatenate(vertices), np.concatenate(faces), np.concatenate(ids)
    u, v = np.moveaxis(points[triangles[:, 1:]] - points[triangles[:, :1]], 1, 0)
    solid = np.linalg.norm(np.cross(u, v), axis=1) > 1e-12 * np.ptp(points, axis=0).max() ** 2
    return points, triangles[solid], part_ids[solid]
