"""Frames of a scene as the views of its crops: square pictures, their depths and cameras.

A camera is a matrix (3, 4) that takes a point x, y, z, 1 to u z, v z, z: z is the depth, and u and v are the
place in the picture, which is [0, 1] x [0, 1].
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from pointmcd.datasets.images import encode_depth, encode_view
from pointmcd.datasets.preparation.sources import SourceError
from pointmcd.geometry.correspondence import unproject
from projects.mvnet.mvnet.frames import Frame

NEAR, FARTHEST = 0.0, 10.0
"""Depths that are kept, in metres; beyond them a camera of this kind measures nothing."""
LEAST_SHARE = 0.1
"""A frame is a view of a crop when so much of its picture shows it."""


class SceneViews(NamedTuple):
    """The frames of a scene, squared."""

    pictures: np.ndarray  # (F, H, H, 3) uint8
    depths: np.ndarray  # (F, H, H) float32, metres, NaN where nothing was measured
    points: np.ndarray  # (F, H, H, 3) float32, what each pixel shows; zeros where nothing was measured
    cameras: np.ndarray  # (F, 3, 4) float64, of points in metres

    @classmethod
    def of(cls, frames: Iterable[Frame], size: int) -> "SceneViews":
        """Cut the middle square of each frame and resize it.

        Depths are those of the pixels at the new pixels' centres; an odd number of old pixels to a new one
        leaves no rest.

        Raises:
            SourceError: A frame has no colours, or there is no frame.
        """
        found = [_squared(frame, size) for frame in frames]
        if not found:
            raise SourceError("there are no frames with a pose, which views are made of")
        return cls(*(np.stack(kind) for kind in zip(*found, strict=True)))

    def of_ball(
        self, center: np.ndarray, radius: float, count: int
    ) -> tuple[np.ndarray, dict[str, list[bytes]]] | None:
        """Choose the views of one crop: of the frames that show it, so many, spread evenly over their order.

        What a view shows beyond the ball has no depth: the crop has no points there.

        Args:
            center: (3,) metres.
            radius: Metres, the crop's unit of length.
            count: V.

        Returns:
            (V, 3, 4) float32 cameras of points in the crop's coordinates, and the encoded images by kind; or
            None where fewer frames show the crop.
        """
        away = np.linalg.norm(self.points - center.astype(np.float32), axis=-1)
        inside = np.isfinite(self.depths) & (away <= radius) & (self.depths < FARTHEST)
        rows = np.flatnonzero(inside.mean(axis=(1, 2)) >= LEAST_SHARE)
        if len(rows) < count:
            return None
        rows = rows[np.linspace(0, len(rows) - 1, count).round().astype(np.int64)]
        cameras = self.cameras[rows]
        shift = (cameras[..., :3] @ center + cameras[..., 3]) / radius
        depths = np.where(inside[rows], self.depths[rows] / radius, np.inf)
        images = {
            "views": [encode_view(picture) for picture in self.pictures[rows]],
            "depths": [encode_depth(depth, NEAR / radius, FARTHEST / radius) for depth in depths],
        }
        return np.concatenate([cameras[..., :3], shift[..., None]], -1).astype(np.float32), images


def _squared(frame: Frame, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return picture, depth, points and camera of one frame."""
    import cv2

    if frame.color is None:
        raise SourceError(f"frame {frame.name} has no colour image, which views are made of")
    height, width = frame.depth.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    pixels = np.floor((np.arange(size) + 0.5) * side / size).astype(np.int64)
    depth = frame.depth[top + pixels[:, None], left + pixels]
    picture = cv2.resize(
        np.ascontiguousarray(frame.color[top : top + side, left : left + side]),
        (size, size),
        interpolation=cv2.INTER_AREA,
    )
    camera = frame.camera.copy()
    camera[:2, 2] -= left, top
    camera[:2] *= size / side
    points, _ = unproject(depth[None], camera, frame.world_to_camera[None])
    camera[:2] /= size
    return picture, depth.astype(np.float32), points[0].astype(np.float32), camera @ frame.world_to_camera
