"""Pictures of prepared shapes: the views, and under each the points that it sees."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pointmcd.datasets.prepared import PreparedSet
from pointmcd.geometry.cameras import CameraRig

PANEL_INCH = 1.5
MARGIN_INCH = 0.32  # on the left, for the name of a shape
TITLE_INCH = 0.25  # above, for the cameras
GHOST = 0.12  # how much of the view shines through behind its points
SEEN, HIDDEN = "#d1495b", "#c3c9d4"


def draw_shape(prepared: PreparedSet, split: str, index: int, views: Sequence[int] | None = None) -> Figure:
    """The picture of one prepared shape; see :func:`draw_shapes`."""
    return draw_shapes(prepared, split, [index], views)


def draw_shapes(
    prepared: PreparedSet, split: str, indices: Sequence[int], views: Sequence[int] | None = None
) -> Figure:
    """Draws some views of each shape, and under each its points as that camera sees them.

    The points are projected by the camera that took the view, over a faint copy of it: the two line up. Points
    that the view sees are red, hidden ones grey. A set made of points alone is drawn from around.

    Args:
        prepared: the prepared set.
        split: the name of one of its splits.
        indices: rows of that split, one or more.
        views: which views; default: up to six, evenly spaced.

    Raises:
        ValueError: no index, or an index or a view that is not there.
        PreparedSetError: there is no such split.
    """
    shapes = prepared.split(split)
    rig = _rig(prepared)
    if views is None:
        views = np.unique(np.linspace(0, rig.num_views, 6, endpoint=False).astype(int)).tolist()
    if not indices or not views:
        raise ValueError("a picture needs at least one shape and one view")
    for name, chosen, count in (("shape", indices, len(shapes)), ("view", views, rig.num_views)):
        if wrong := [number for number in chosen if not 0 <= number < count]:
            raise ValueError(f"there is no {name} {wrong[0]}: split '{split}' has {name}s 0 to {count - 1}")

    with_images = prepared.manifest["views"] is not None
    rows_each = 2 if with_images else 1
    rows, columns = rows_each * len(indices), len(views)
    width, height = MARGIN_INCH + PANEL_INCH * columns, TITLE_INCH + PANEL_INCH * rows
    figure = Figure(figsize=(width, height), dpi=150, facecolor="white")

    def panel(row: int, column: int) -> Axes:
        left, top = MARGIN_INCH + PANEL_INCH * column, TITLE_INCH + PANEL_INCH * row
        axes = figure.add_axes(
            (left / width, 1 - (top + PANEL_INCH) / height, PANEL_INCH / width, PANEL_INCH / height)
        )
        axes.set_axis_off()
        return axes

    for place, index in enumerate(indices):
        first = rows_each * place
        points = shapes.points[index]
        masks = None if shapes.visibility is None else shapes.visibility[index]
        pixels, depth = rig.project(points, 1)
        for column, view in enumerate(views):
            seen = np.ones(len(points), bool) if masks is None else (masks >> np.uint32(view)) & 1 == 1
            axes = panel(first + rows_each - 1, column)
            if with_images:
                image = shapes.views.read(index, view)
                panel(first, column).imshow(image, extent=(0, 1, 1, 0), interpolation="antialiased")
                ghost = (255 - GHOST * (255.0 - image)).astype(np.uint8)
                axes.imshow(ghost, extent=(0, 1, 1, 0), interpolation="antialiased")
            _scatter(axes, pixels[view], depth[view], seen)
            if place == 0:
                axes.figure.text(
                    (MARGIN_INCH + PANEL_INCH * (column + 0.5)) / width,
                    1 - TITLE_INCH / 2 / height,
                    _camera_label(prepared, rig, view),
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="#808080",
                )
        middle = 1 - (TITLE_INCH + PANEL_INCH * (first + rows_each / 2)) / height
        label = prepared.class_names[shapes.labels[index]]
        figure.text(
            MARGIN_INCH / 2 / width,
            middle,
            f"{label} · {shapes.names[index].rsplit('/', 1)[-1]}",
            rotation=90,
            ha="center",
            va="center",
            fontsize=8,
            color="#303030",
        )
    return figure


def _rig(prepared: PreparedSet) -> CameraRig:
    values = prepared.manifest["rig"]
    if values is None:  # a set without cameras: look at it from around, a little from above
        return CameraRig(tuple(60.0 * step for step in range(6)), (30.0,) * 6)
    return CameraRig.from_dict(values)


def _camera_label(prepared: PreparedSet, rig: CameraRig, view: int) -> str:
    angles = f"{rig.azimuth_deg[view]:.0f}°, {rig.elevation_deg[view]:.0f}° up"
    return angles if prepared.manifest["rig"] is None else f"view {view}: {angles}"


def _scatter(axes: Axes, pixels: np.ndarray, depth: np.ndarray, seen: np.ndarray) -> None:
    """Draws points (P, 2) in [0, 1], far ones first and smaller, the ``seen`` ones (P,) above the others."""
    axes.set(xlim=(0, 1), ylim=(1, 0), aspect="equal")
    order = np.argsort(-depth)
    size = 1.6 * min(4.0, 2048 / len(depth)) * (depth.mean() / depth) ** 2
    for chosen, color, scale in ((order[~seen[order]], HIDDEN, 0.6), (order[seen[order]], SEEN, 1.0)):
        axes.scatter(*pixels[chosen].T, s=scale * size[chosen], c=color, linewidths=0, clip_on=False)
