"""Pictures of prepared shapes: the views, and under each the points that it sees."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.geometry.cameras import CameraRig
from pointmcd.visualization.parts import part_colors
from pointmcd.visualization.text import Picture, plain

SEEN, HIDDEN = "#cf3f54", "#a3b7d6"
GHOST = 0.12  # how much of the view shines through behind its points
PALE = 0.35  # of its colour that a hidden point keeps
MOST = 34  # letters of a name
# In inches: a panel; what is left of them (names), above (cameras) and below (legend); between two shapes,
# without and with the names of parts.
PANEL, LEFT, TOP, BOTTOM, GAP, NAMES = 1.5, 0.32, 0.3, 0.25, 0.15, 0.3
FRAME = (0, 1, 1, 0)


def draw_shape(prepared: PreparedSet, split: str, index: int, views: Sequence[int] | None = None) -> Figure:
    """Return the picture of one prepared shape; see `draw_shapes`."""
    return draw_shapes(prepared, split, [index], views)


def draw_shapes(
    prepared: PreparedSet, split: str, indices: Sequence[int], views: Sequence[int] | None = None
) -> Figure:
    """Draw some views of each shape, and under each its points as that camera sees them.

    The points are projected by the camera that took the view, over a faint copy of it, so that the two line
    up: red where the view sees the point, blue where it is hidden. Where the set has parts, they have the
    colours of their parts instead, pale where hidden, and the view is shown again in those colours. A set
    that was made of points alone has no images and is drawn from around.

    Args:
        prepared: The prepared set.
        split: The name of one of its splits.
        indices: Rows of that split, one or more.
        views: Which views; default: up to six, evenly spaced.

    Raises:
        ValueError: No index or no view, or one that is not there.
        PreparedSetError: There is no such split.
    """
    shapes = prepared.split(split)
    rig = _rig(prepared)
    if views is None:
        views = np.unique(np.linspace(0, rig.num_views, 6, endpoint=False).astype(int)).tolist()
    if not indices or not views:
        raise ValueError("a picture needs at least one shape and one view")
    for what, chosen, count in (("shape", indices, len(shapes)), ("view", views, rig.num_views)):
        if missing := [number for number in chosen if not 0 <= number < count]:
            raise ValueError(f"there is no {what} {missing[0]}: split '{split}' has {what}s 0 to {count - 1}")

    part_names = prepared.part_names or []
    has_images, has_labels = prepared.has_views, prepared.has_part_views
    gap = GAP if shapes.parts is None else NAMES
    shape_height = PANEL * (1 + has_images + has_labels) + gap
    canvas = _Canvas(LEFT + PANEL * len(views), TOP + shape_height * len(indices) - GAP + BOTTOM)
    for column, view in enumerate(views):
        name = f"az {rig.azimuth_deg[view]:.0f}° el {rig.elevation_deg[view]:.0f}°"
        if prepared.manifest["rig"] is not None:
            name = f"view {view} · {name}"
        canvas.text(LEFT + PANEL * (column + 0.5), TOP / 2, name, fontsize=7, color="#707070")
    for place, index in enumerate(indices):
        top = TOP + shape_height * place
        name, label = shapes.names[index].rsplit("/", 1)[-1], prepared.class_names[shapes.labels[index]]
        title = name if name.startswith(label) else f"{label} · {name}"
        canvas.text(
            LEFT / 2,
            top + (shape_height - gap) / 2,
            plain(title, MOST),
            fontsize=8,
            color="#303030",
            rotation=90,
        )
        own: list[int] = []
        colors = None
        if shapes.parts is not None and prepared.class_parts is not None:
            own = prepared.class_parts[shapes.labels[index]]
            colors = part_colors(shapes.parts[index], own)
        points = shapes.points[index]
        pixels, depth = rig.project(points, 1)
        for column, view in enumerate(views):
            left, below = LEFT + PANEL * column, top
            image = shapes.views.read(index, view) if has_images else None
            if image is not None:
                canvas.panel(left, below).imshow(image, extent=FRAME)
                below += PANEL
            if image is not None and has_labels:
                labels = shapes.part_views.read(index, view)
                canvas.panel(left, below).imshow(_tinted(image, labels, own), extent=FRAME)
                below += PANEL
            axes = canvas.panel(left, below)
            if image is not None:
                axes.imshow((255 - GHOST * (255.0 - image)).astype(np.uint8), extent=FRAME)
            seen = np.ones(len(points), bool)
            if shapes.visibility is not None:
                seen = (shapes.visibility[index] >> np.uint32(view)) & 1 == 1
            _scatter(axes, pixels[view], depth[view], seen, colors)
        for place, part in enumerate(own):
            color = part_colors(np.array([part]), own)[0]
            x, y = LEFT + (place + 0.5) * (canvas.width - LEFT) / len(own), top + shape_height - gap + 0.1
            canvas.text(x, y, plain(part_names[part], MOST), fontsize=6, color=color)
    if prepared.has_visibility and shapes.parts is None:
        bottom = canvas.height - BOTTOM / 2
        canvas.text(LEFT + 0.5, bottom, "● seen by the view", fontsize=7, color=SEEN)
        canvas.text(LEFT + 1.5, bottom, "● hidden", fontsize=7, color=HIDDEN)
    return canvas.figure


class _Canvas:
    """A figure of ``width`` x ``height`` inches; places are in inches from its upper left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Picture(width, height)

    def panel(self, left: float, top: float) -> Axes:
        """Draw on square axes over [0, 1] x [0, 1], y down."""
        size = (PANEL / self.width, PANEL / self.height)
        axes = self.figure.add_axes((left / self.width, 1 - (top + PANEL) / self.height, *size))
        axes.set(xlim=(0, 1), ylim=(1, 0))
        axes.set_axis_off()
        return axes

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        self.figure.text(x / self.width, 1 - y / self.height, text, ha="center", va="center", **style)


def _rig(prepared: PreparedSet) -> CameraRig:
    values = prepared.manifest["rig"]
    if values is None:
        return CameraRig(tuple(60.0 * step for step in range(6)), (30.0,) * 6)
    return CameraRig.from_dict(values)


def _tinted(image: np.ndarray, labels: np.ndarray, parts: Sequence[int]) -> np.ndarray:
    """Return the view (H, W, 3) in the colours of the parts ``labels`` (H, W); the background as it is."""
    tint = part_colors(labels.ravel(), parts).reshape(image.shape)
    return np.where(np.isin(labels, parts)[..., None], tint * image, image).astype(np.uint8)


def _scatter(
    axes: Axes, pixels: np.ndarray, depth: np.ndarray, seen: np.ndarray, colors: np.ndarray | None
) -> None:
    """Draw points (P, 2) in [0, 1], far ones first and smaller, the ``seen`` ones (P,) above the others.

    With ``colors`` (P, 3), RGB in [0, 1], each has its own, and hidden ones are pale.
    """
    order = np.argsort(-depth)
    size = min(4.0, 2048 / len(depth)) * (depth.mean() / depth) ** 2
    for chosen, color, scale in ((order[~seen[order]], HIDDEN, 0.8), (order[seen[order]], SEEN, 1.3)):
        if colors is not None:
            color = colors[chosen] if color == SEEN else 1 - PALE * (1 - colors[chosen])
        x, y = pixels[chosen].T
        axes.scatter(x, y, s=scale * size[chosen], c=color, linewidths=0)
