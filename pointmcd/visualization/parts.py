"""Pictures of segmented shapes: true parts, predicted parts and the points that are wrong, side by side."""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from pointmcd.geometry.cameras import CameraRig
from pointmcd.visualization.colors import distinct_colors
from pointmcd.visualization.text import Picture, plain

WRONG, RIGHT, FOREIGN = "#cf3f54", "#c9ced6", "#000000"
PALETTE = tuple(matplotlib.colormaps["tab10"](place)[:3] for place in (0, 1, 2, 4, 5, 6, 8, 9))
"""The first colours of parts: no red, no grey."""
CAMERA = CameraRig((40.0,), (25.0,))
FADE = 0.45  # how far the farthest point goes towards white
TITLE, LINE = 0.42, 0.15  # inches: the strip above, a line of the legend below
MOST = 60  # letters of a title


class SegmentedShape(NamedTuple):
    """One shape to draw.

    Attributes:
        title: Stands above it.
        points: (N, 3) in the unit ball, z up.
        predicted: (N,) part of each point.
        category_parts: The parts that a shape of its category can have; they share the colours of all shapes
            of that category.
        truth: (N,) true part of each point, or None where it is not known.
    """

    title: str
    points: np.ndarray
    predicted: np.ndarray
    category_parts: Sequence[int]
    truth: np.ndarray | None = None


def draw_parts(shapes: Sequence[SegmentedShape], part_names: Sequence[str], columns: int = 1) -> Figure:
    """Draw each shape's parts as coloured points, nearest above; where the truth is known, it stands to the
    left and the wrong points to the right.

    Args:
        shapes: One or more, all with the truth or all without.
        part_names: P names.
        columns: How many shapes stand side by side.

    Raises:
        ValueError: There is no shape, some have no truth, or a shape's parts are not one a point.
    """
    if not shapes:
        raise ValueError("a picture needs at least one shape")
    if len({shape.truth is None for shape in shapes}) > 1:
        raise ValueError("some shapes have true parts and some have none; draw them separately")
    for shape in shapes:
        sizes = [len(parts) for parts in (shape.truth, shape.predicted) if parts is not None]
        if set(sizes) != {len(shape.points)}:
            raise ValueError(f"{shape.title}: {len(shape.points)} points and {sizes} parts")
    layout = ALONE if shapes[0].truth is None else COMPARED
    lines = max(-(-len(shape.category_parts) // layout.names_a_line) for shape in shapes)
    rows = -(-len(shapes) // columns)
    width, height = layout.panels * layout.panel, TITLE + layout.panel + LINE * lines
    figure = Picture(width * columns, height * rows)
    cells = figure.subfigures(rows, columns, squeeze=False).ravel()
    for cell, shape in zip(cells, shapes, strict=False):
        _draw_shape(cell, shape, part_names, layout, height)
    return figure


def part_colors(parts: np.ndarray, category_parts: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return RGB (N, 3) in [0, 1] of parts (N,), by their place in the category; black for another's."""
    palette = distinct_colors(len(category_parts), PALETTE, (WRONG, RIGHT, FOREIGN, "#ffffff"))
    colors = np.tile(to_rgb(FOREIGN), (len(parts), 1))
    for part, color in zip(category_parts, palette, strict=True):
        colors[parts == part] = color
    return colors


class _Layout(NamedTuple):
    """Panels of a shape, the side of one in inches, and names in a line of the legend."""

    panels: int
    panel: float
    names_a_line: int


COMPARED, ALONE = _Layout(3, 1.7, 6), _Layout(1, 2.6, 2)


def _draw_shape(
    cell: SubFigure, shape: SegmentedShape, part_names: Sequence[str], layout: _Layout, height: float
) -> None:
    size = (1 / layout.panels, layout.panel / height)
    bottom = 1 - (TITLE + layout.panel) / height
    axes = [cell.add_axes((number * size[0], bottom, *size)) for number in range(layout.panels)]
    cell.text(0.5, 1 - 0.35 * TITLE / height, plain(shape.title, MOST), ha="center", va="center", fontsize=7)
    predicted = part_colors(shape.predicted, shape.category_parts)
    if shape.truth is None:
        _scatter(axes[0], shape.points, predicted)
    else:
        wrong = shape.predicted != shape.truth
        _scatter(axes[0], shape.points, part_colors(shape.truth, shape.category_parts), "truth")
        _scatter(axes[1], shape.points, predicted, "prediction")
        marks = np.where(wrong[:, None], to_rgb(WRONG), to_rgb(RIGHT))
        _scatter(axes[2], shape.points, marks, f"{100 * wrong.mean():.1f} % wrong", above=wrong)
    parts = np.asarray(shape.category_parts)
    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=3, color=color)
        for part, color in zip(parts, part_colors(parts, parts), strict=True)
    ]
    cell.legend(
        handles,
        [plain(part_names[part], MOST // layout.names_a_line * layout.panels) for part in parts],
        loc="upper center",
        bbox_to_anchor=(0.5, bottom),
        ncols=layout.names_a_line,
        fontsize=5,
        frameon=False,
        handletextpad=0,
        columnspacing=0.8,
        borderpad=0,
    )


def _scatter(
    axes: Axes, points: np.ndarray, colors: np.ndarray, title: str = "", above: np.ndarray | None = None
) -> None:
    """Draw points, far ones first, smaller and paler; those marked in ``above`` (N,) after all others."""
    (pixels,), (depth,) = CAMERA.project(points, 1)
    order = np.argsort(-depth) if above is None else np.lexsort((-depth, above))
    paleness = FADE * (depth - depth.min()) / max(np.ptp(depth), 1e-9)
    colors = colors + (1 - colors) * paleness[:, None]
    area = 2 * (axes.figure.bbox.width / axes.figure.dpi * axes.get_position().width) ** 2
    size = min(area, area * 1024 / len(points)) * (depth.mean() / depth) ** 2
    x, y = pixels[order].T
    axes.scatter(x, y, s=size[order], c=colors[order], linewidths=0)
    axes.set(xlim=(0, 1), ylim=(1, 0), aspect="equal")
    axes.set_axis_off()
    if title:
        axes.text(0.5, 0, title, ha="center", va="bottom", fontsize=6, color="#707070")
