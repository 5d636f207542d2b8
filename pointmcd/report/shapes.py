"""The shapes of a report: which ones, and each as small as a page can hold five hundred of."""

import base64
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pointmcd.datasets.prepared_split import PreparedSplit
from pointmcd.geometry import CameraRig

MOST_POINTS = 1024
MOST_VIEWS = 24
TILE, QUALITY, COLUMNS = 96, 70, 4
"""Of a sheet of views: pixels of one, WebP's quality, views in a row."""


def choose(scores: np.ndarray | None, count: int, most: int) -> np.ndarray:
    """Return the shapes to show: a third the worst, a third around the median, a third the best.

    Args:
        scores: (S,) of each shape, higher is better; None spreads the choice over all.
        count: S.
        most: How many at most.

    Returns:
        (n,) rising rows.
    """
    if scores is None or count <= most:
        return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))
    order = np.argsort(scores, kind="stable")
    share = most // 3
    middle = (count - (most - 2 * share)) // 2
    chosen = np.concatenate(
        [order[:share], order[middle : middle + most - 2 * share], order[count - share :]]
    )
    return np.sort(chosen)


def views_shown(rig: CameraRig | None) -> list[int]:
    """Return the numbers of the views to show; all of a usual rig."""
    if rig is None:
        return []
    return np.unique(np.linspace(0, rig.num_views - 1, min(rig.num_views, MOST_VIEWS)).astype(int)).tolist()


def pack(
    split: PreparedSplit, rows: Sequence[int], views: Sequence[int], num_points: int
) -> Iterator[dict[str, Any]]:
    """Return each shape as text: its name, points, masks, parts and sheet of views.

    Args:
        split: Where they are.
        rows: Rows of it.
        views: Numbers of the views to show.
        num_points: Points of a shape to show, the first ones.

    Yields:
        ``name``; base64 of little-endian arrays: ``points`` (N, 3) uint16, from -1 to 1, ``seen`` (N,)
        uint32, bit i set where view ``views[i]`` sees the point, and ``parts`` (N,) uint16; ``sheet``, a WebP
        of the views. What the set lacks is left out.
    """
    for row in rows:
        points = np.clip(np.asarray(split.points[row][:num_points], np.float64), -1, 1)
        shape: dict[str, Any] = {
            "name": split.names[row],
            "points": encoded(np.rint((points + 1) / 2 * 65535), "<u2"),
        }
        if split.visibility is not None and views:
            masks = np.asarray(split.visibility[row][:num_points])
            seen = sum(((masks >> view & 1) << place) for place, view in enumerate(views) if view < 32)
            shape["seen"] = encoded(np.asarray(seen), "<u4")
        if split.parts is not None:
            shape["parts"] = encoded(np.asarray(split.parts[row][:num_points]), "<u2")
        if split.prepared.has_views and views:
            shape["sheet"] = sheet([split.views.read(row, view) for view in views])
        yield shape


def encoded(values: np.ndarray, dtype: str) -> str:
    """Return an array's bytes as Base64."""
    return base64.b64encode(np.ascontiguousarray(values, dtype).tobytes()).decode()


def sheet(images: Sequence[np.ndarray]) -> str:
    """Return views (H, W, 3) uint8 side by side, ``COLUMNS`` in a row, as the base64 of a WebP."""
    import cv2

    lines = -(-len(images) // COLUMNS)
    canvas = np.full((lines * TILE, COLUMNS * TILE, 3), 255, np.uint8)
    for place, image in enumerate(images):
        top, left = (TILE * number for number in divmod(place, COLUMNS))
        canvas[top : top + TILE, left : left + TILE] = cv2.resize(
            image, (TILE, TILE), interpolation=cv2.INTER_AREA
        )
    done, data = cv2.imencode(".webp", canvas[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    if not done:
        raise RuntimeError(f"OpenCV cannot encode a sheet of shape {canvas.shape}")
    return base64.b64encode(data.tobytes()).decode()
