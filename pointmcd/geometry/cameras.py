"""Rigs of perspective cameras that look at the origin.

The world is z up and the shape lies in the unit ball. A camera's own axes are x right, y down, z forward.
Pixel coordinates are continuous: the picture is [0, size] x [0, size], x right and y down, and the centre of
the pixel in row i and column j is (j + 0.5, i + 0.5). Depth is measured along the camera's z axis.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The unit ball, of angular radius asin(1/3) = 19.5 degrees from here, fills 97 % of the picture.
DEFAULT_DISTANCE = 3.0
DEFAULT_FOV_DEG = 40.0


@dataclass(frozen=True)
class CameraRig:
    """V cameras on a sphere about the shape.

    Attributes:
        azimuth_deg: One angle a view, counter-clockwise about z from the x axis.
        elevation_deg: One angle a view, above the horizon, in [-90, 90].
        distance: Of the cameras from the origin, in bounding radii.
        fov_deg: Full field of view across and down; the unit ball must fit.
    """

    azimuth_deg: tuple[float, ...]
    elevation_deg: tuple[float, ...]
    distance: float = DEFAULT_DISTANCE
    fov_deg: float = DEFAULT_FOV_DEG

    def __post_init__(self) -> None:
        if not self.azimuth_deg or len(self.azimuth_deg) != len(self.elevation_deg):
            raise ValueError(
                f"a rig needs as many azimuths as elevations, and at least one; "
                f"got {len(self.azimuth_deg)} and {len(self.elevation_deg)}"
            )
        if not all(math.isfinite(angle) for angle in self.azimuth_deg):
            raise ValueError(f"azimuths must be finite, got {self.azimuth_deg}")
        if not all(-90 <= angle <= 90 for angle in self.elevation_deg):
            raise ValueError(f"elevations must be in [-90, 90] degrees, got {self.elevation_deg}")
        if not 0 < self.fov_deg < 180:
            raise ValueError(f"fov_deg must be in (0, 180), got {self.fov_deg}")
        if not 1 < self.distance * math.sin(math.radians(self.fov_deg / 2)) < math.inf:
            raise ValueError(
                f"the unit ball does not fit: distance {self.distance} needs a fov_deg of more than "
                f"2 asin(1 / distance), got {self.fov_deg}"
            )

    @property
    def num_views(self) -> int:
        return len(self.azimuth_deg)

    def positions(self) -> NDArray[np.float64]:
        """Return (V, 3) camera centres."""
        return -self.distance * self._axes()[:, 2]

    def world_to_camera(self) -> NDArray[np.float64]:
        """Return (V, 3, 4) matrices [R | t]: ``camera = R @ world + t``."""
        shift = np.zeros((self.num_views, 3, 1))
        shift[:, 2] = self.distance
        return np.concatenate((self._axes(), shift), axis=2)

    def focal(self, size: int) -> float:
        """Return focal length in pixels of a picture of size x size; the principal point is its centre."""
        return size / 2 / math.tan(math.radians(self.fov_deg) / 2)

    def rays(self, size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the rays through the pixel centres.

        Returns:
            origins: (V, 3) float32.
            directions: (V, size, size, 3) float32, of depth 1 and so not unit: the point at depth z on a ray
                is ``origin + z * direction``.
        """
        offset = (np.arange(size) + 0.5 - size / 2) / self.focal(size)
        right, down, forward = np.moveaxis(self._axes(), 1, 0)[:, :, None, None]
        directions = forward + offset[:, None] * right + offset[:, None, None] * down
        return self.positions().astype(np.float32), directions.astype(np.float32)

    def project(
        self, points: NDArray[np.floating], size: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Project points (P, 3) into every view.

        Returns:
            pixel: (V, P, 2), x and y; see the module's docstring.
            depth: (V, P), along the camera's z axis; positive in front of it.
        """
        camera = np.asarray(points, dtype=np.float64) @ self._axes().transpose(0, 2, 1)
        depth = camera[..., 2] + self.distance
        return camera[..., :2] * (self.focal(size) / depth)[..., None] + size / 2, depth

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "CameraRig":
        """Return the inverse of `to_dict`; a single number for one of the angles holds for all views.

        Raises:
            ValueError: An unknown or missing key, or values that make no rig.
        """
        known = ("azimuth_deg", "elevation_deg", "distance", "fov_deg")
        if unknown := sorted(set(values) - set(known)):
            raise ValueError(f"a camera rig has no {', '.join(unknown)}; it takes {', '.join(known)}")
        if missing := [key for key in known[:2] if key not in values]:
            raise ValueError(f"a camera rig needs {', '.join(missing)}")
        azimuth, elevation = np.broadcast_arrays(
            np.atleast_1d(values["azimuth_deg"]), values["elevation_deg"]
        )
        return cls(
            tuple(map(float, azimuth)),
            tuple(map(float, elevation)),
            float(values.get("distance", DEFAULT_DISTANCE)),
            float(values.get("fov_deg", DEFAULT_FOV_DEG)),
        )

    def _axes(self) -> NDArray[np.float64]:
        """Return (V, 3, 3): the rows are right, down and forward. Well defined at the poles too."""
        azimuth, elevation = np.radians(self.azimuth_deg), np.radians(self.elevation_deg)
        ca, sa, ce, se = np.cos(azimuth), np.sin(azimuth), np.cos(elevation), np.sin(elevation)
        right = (-sa, ca, np.zeros_like(ca))
        down = (se * ca, se * sa, -ce)
        forward = (-ce * ca, -ce * sa, -se)
        return np.moveaxis(np.array((right, down, forward)), 2, 0)


def circle12() -> CameraRig:
    """Return one ring at 30 degrees elevation: the MVCNN convention and PointMCD's 12 views."""
    return CameraRig(tuple(30.0 * i for i in range(12)), (30.0,) * 12)


def rings2x8() -> CameraRig:
    """Return two rings of eight at 30 degrees above and below the horizon: PointMCD's count and order of 16
    views; its elevations are not published.
    """
    return CameraRig(tuple(45.0 * i for i in range(8)) * 2, (30.0,) * 8 + (-30.0,) * 8)


def dodecahedron20() -> CameraRig:
    """Return the corners of a regular dodecahedron, lowest first."""
    # Four rings of five; the two cosines are those of the corners' polar angles about a face's axis.
    inner, outer = (math.degrees(math.asin(math.sqrt((5 + sign * 2 * 5**0.5) / 15))) for sign in (-1, 1))
    azimuth = [72.0 * i + shift for shift in (36.0, 36.0, 0.0, 0.0) for i in range(5)]
    elevation = [angle for angle in (-outer, -inner, inner, outer) for _ in range(5)]
    return CameraRig(tuple(azimuth), tuple(elevation))


def fibonacci(count: int) -> CameraRig:
    """Return ``count`` directions spread evenly over the sphere, highest first (the Fibonacci lattice).

    The i-th stands at the height of the middle of the i-th of ``count`` zones of equal area, a golden angle
    further round than the one before.
    """
    golden_deg = 180 * (3 - 5**0.5)
    heights = (1 - (2 * i + 1) / count for i in range(count))
    return CameraRig(
        tuple(golden_deg * i % 360 for i in range(count)),
        tuple(math.degrees(math.asin(height)) for height in heights),
    )


RIGS: dict[str, Callable[[], CameraRig]] = {
    make.__name__: make for make in (circle12, rings2x8, dodecahedron20)
}
"""Rigs by name, for ``rig`` and for ``pointmcd prepare --rig``; one's own may be added."""


def rig_names() -> str:
    """Return the names that ``rig`` knows, in words."""
    return f"{', '.join(RIGS)} and fibonacciN (N views spread evenly)"


def rig(name: str | Mapping[str, Any]) -> CameraRig:
    """Return a camera rig by name, as in ``RIGS`` or ``fibonacci180``, or by angles (`from_dict`).

    Raises:
        ValueError: Not a name of a rig.
    """
    if isinstance(name, Mapping):
        return CameraRig.from_dict(name)
    if name in RIGS:
        return RIGS[name]()
    if (count := name.removeprefix("fibonacci")) != name and count.isdecimal():
        return fibonacci(int(count))
    raise ValueError(f"unknown camera rig {name!r}; known are {rig_names()}, and explicit angles")
