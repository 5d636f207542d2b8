"""What may befall a cloud on its way to a student, at the severities by which the field judges robustness.

ModelNet40-C: Sun et al., Benchmarking Robustness of 3D Point Cloud Recognition Against Common Corruptions,
2022 (arXiv 2201.12296). ModelNet-C: Ren, Pan and Liu, Benchmarking and Analyzing Point Cloud Classification
under Corruptions, ICML 2022 (arXiv 2202.03377). Both count points of clouds of 1024; here the counts are
shares. The corruptions draw from the generator in an order that does not depend on the severity, so that the
same seed befalls a shape with the same accident, only harder.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pointmcd.geometry import CameraRig, Splats, splat_views, visible_by_hpr, visible_by_splats

Points = NDArray[np.floating]
SECTORS = (1, 2, 3, 4, 5)
ELEVATION = (30.0, 60.0)
DEPTH_PIXELS = 112


def rotation(points: Points, rng: np.random.Generator, group: str) -> Points:
    """Turn the cloud by any angle about the vertical (``z``), or by any rotation (``so3``), uniformly."""
    if group == "z":
        turn = Rotation.from_euler("z", rng.uniform(-180, 180), degrees=True)
    else:
        turn = Rotation.from_quat(rng.normal(size=4))
    return turn.apply(points)


def tilt(points: Points, rng: np.random.Generator, degrees: float) -> Points:
    """Turn the cloud about each axis, to either side, by within 2.5 of ``degrees`` (ModelNet40-C)."""
    angles = (degrees + rng.uniform(-2.5, 2.5, 3)) * rng.choice((-1, 1), 3)
    return Rotation.from_euler("xyz", angles, degrees=True).apply(points)


def gaussian(points: Points, rng: np.random.Generator, sigma: float) -> Points:
    """Move every point by Gaussian noise, and keep it in the cube [-1, 1]."""
    return np.clip(points + sigma * rng.normal(size=points.shape), -1, 1)


def uniform(points: Points, rng: np.random.Generator, width: float) -> Points:
    """Move every point by up to ``width`` along each axis."""
    return points + width * rng.uniform(-1, 1, points.shape)


def background(points: Points, rng: np.random.Generator, part: int) -> Points:
    """Add N // ``part`` points anywhere in the cube [-1, 1]."""
    return np.concatenate((points, rng.uniform(-1, 1, points.shape)[: len(points) // part]))


def impulse(points: Points, rng: np.random.Generator, part: int) -> Points:
    """Move N // ``part`` of the points by 0.1 to either side along each axis."""
    rows = rng.permutation(len(points))[: len(points) // part]
    moved = points.copy()
    moved[rows] += 0.1 * rng.choice((-1, 1), points.shape)[rows]
    return moved


def global_dropout(points: Points, rng: np.random.Generator, share: float) -> Points:
    """Drop a share of the points, any of them."""
    return points[np.sort(rng.permutation(len(points))[: int(len(points) * (1 - share))])]


def local_dropout(points: Points, rng: np.random.Generator, holes: int) -> Points:
    """Cut out ``holes`` patches, each the 30 of 1024 points around one (ModelNet40-C: cutout)."""
    size = _of_1024(30, points)
    for _ in range(holes):
        points = np.delete(points, _patch(points, rng, size), axis=0)
    return points


def density(points: Points, rng: np.random.Generator, patches: int) -> Points:
    """Thin out ``patches`` patches of 100 of 1024 points: three in four of each are dropped."""
    size = _of_1024(100, points)
    for _ in range(patches):
        patch = _patch(points, rng, size)
        points = np.delete(points, rng.permutation(patch)[: int(0.75 * size)], axis=0)
    return points


def density_gradient(points: Points, rng: np.random.Generator, share: float) -> Points:
    """Drop a share of the points, the likelier the farther they lie in a random direction.

    A point's weight in the draw falls linearly to 0 along the direction, as in the gradient protocol of
    Hermosilla et al. (Monte Carlo Convolution, 2018); the shares are those of ``global_dropout``.
    """
    direction = rng.normal(size=3)
    along = points @ direction
    weight = (along.max() - along) / max(float(np.ptp(along)), 1e-12)
    # the largest of u^(1/w) are a draw without replacement by weights w (Efraimidis and Spirakis, 2006)
    keys = np.log(rng.uniform(size=len(points))) / np.maximum(weight, 1e-12)
    return points[np.sort(np.argsort(-keys, kind="stable")[: int(len(points) * (1 - share))])]


def occlusion(points: Points, rng: np.random.Generator, sector: int, normals: Points | None = None) -> Points:
    """Keep the points that one camera sees.

    By splats where there are normals, by hidden-point removal where there are none.

    Args:
        points: (N, 3) in the unit ball.
        rng: Draws the camera, as ``camera``.
        sector: As ``camera``.
        normals: (N, 3) of the points, or None.

    Returns:
        (M, 3), in their order; at least one.
    """
    rig = camera(rng, sector)
    if normals is not None:
        seen = visible_by_splats(Splats(points, normals), rig) > 0
    else:
        seen = visible_by_hpr(points, rig, np.sqrt(len(points))) > 0
    seen[np.linalg.norm(points - rig.positions()[0], axis=1).argmin()] = True  # nothing is before it
    return points[seen]


def depth_scan(
    points: Points, rng: np.random.Generator, sector: int, normals: Points | None = None
) -> Points:
    """Scan the cloud's splats by one depth camera: a point for each pixel that meets something.

    Args: As ``occlusion``.

    Returns:
        (M, 3), row by row of a picture of 112 pixels.
    """
    rig = camera(rng, sector)
    depth = splat_views(points, normals, rig, DEPTH_PIXELS).depth[0]
    (origin,), (rays,) = rig.rays(DEPTH_PIXELS)
    hit = np.isfinite(depth)
    return origin + depth[hit, None] * rays[hit]


def camera(rng: np.random.Generator, sector: int) -> CameraRig:
    """Draw a camera 3 radii from the centre and 30 to 60 degrees above the horizon, in one of five sectors
    about the vertical: ModelNet40-C's five "severities" of occlusion, of which none is harder than another.
    """
    turn, height = rng.uniform(-0.5, 0.5), rng.uniform(*ELEVATION)
    return CameraRig((72 * (sector + turn),), (height,))


@dataclass(frozen=True)
class Corruption:
    """A row of the table of robustness.

    Attributes:
        change: Takes (N, 3) float64 points, a generator and a level, and gives (M, 3); of a ``dense`` one
            also ``normals``.
        levels: What severity 1, 2 ... means to it.
        rescaled: The result is moved and scaled into the unit ball, as ModelNet40-C does with it.
        dense: It is given all prepared points of a shape, with their normals, and only its result is
            brought down to as many points as the student looks at.
    """

    change: Callable[..., Points]
    levels: tuple[Any, ...]
    rescaled: bool = False
    dense: bool = False


CORRUPTIONS = {
    "rotation_z": Corruption(rotation, ("z",)),
    "rotation_so3": Corruption(rotation, ("so3",)),
    "tilt": Corruption(tilt, (2.5, 5.0, 7.5, 10.0, 15.0)),
    "gaussian": Corruption(gaussian, (0.01, 0.015, 0.02, 0.025, 0.03)),
    "uniform": Corruption(uniform, (0.01, 0.02, 0.03, 0.04, 0.05), rescaled=True),
    "background": Corruption(background, (45, 40, 35, 30, 20), rescaled=True),
    "impulse": Corruption(impulse, (30, 25, 20, 15, 10), rescaled=True),
    "global_dropout": Corruption(global_dropout, (0.25, 0.375, 0.5, 0.625, 0.75)),
    "local_dropout": Corruption(local_dropout, (2, 3, 5, 7, 10)),
    "density": Corruption(density, (1, 2, 3, 4, 5)),
    "density_gradient": Corruption(density_gradient, (0.25, 0.375, 0.5, 0.625, 0.75)),
    "occlusion": Corruption(occlusion, SECTORS, rescaled=True, dense=True),
    "depth_scan": Corruption(depth_scan, SECTORS, rescaled=True, dense=True),
}
"""By name. Levels are ModelNet40-C's, but for ``global_dropout`` (ModelNet-C's)."""


def generator(name: str, row: int, seed: int) -> np.random.Generator:
    """Return what a corruption draws from for one shape, the same at every severity."""
    return np.random.default_rng((seed, zlib.crc32(name.encode()), row))


def _of_1024(count: int, points: Points) -> int:
    return max(1, round(count * len(points) / 1024))


def _patch(points: Points, rng: np.random.Generator, size: int) -> NDArray[np.intp]:
    """Return the rows of the ``size`` points nearest to a random one, which is among them."""
    distance = np.square(points - points[rng.integers(len(points))]).sum(1)
    return np.argpartition(distance, size - 1)[:size]
