"""Robustness as a picture: accuracy over severity, a panel for each corruption."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from pointmcd.visualization.colors import distinct_colors
from pointmcd.visualization.text import Picture, plain

COLUMNS = 4
PANEL = (2.3, 1.9)  # inches
FIRST = ("#2c6fad", "#cf3f54")  # baseline and distilled, as a rule
MOST = 40  # letters of a name


def draw_robustness(
    curves: Mapping[str, Mapping[str, np.ndarray]], severities: Sequence[int] = (1, 2, 3, 4, 5)
) -> Figure:
    """Draw the mean over seeds as a line, and the seeds as points, of every method in every panel.

    Args:
        curves: By corruption and method (R, L + 1) accuracies in percent, R seeds; of clean shapes, then of
            L severities.
        severities: Which L these are; what has one of its own, such as a rotation, shows that as 1.

    Raises:
        ValueError: There is no corruption.
    """
    if not curves:
        raise ValueError("a picture of robustness needs at least one corruption")
    methods = list(next(iter(curves.values())))
    colors = dict(zip(methods, distinct_colors(len(methods), FIRST), strict=True))
    columns = min(COLUMNS, len(curves))
    rows = -(-len(curves) // columns)
    figure = Picture(columns * PANEL[0] + 0.3, rows * PANEL[1] + 0.5)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).flat
    for axes, (name, of_methods) in zip(panels, curves.items(), strict=False):
        for method, accuracy in of_methods.items():
            alone = accuracy.shape[1] == 2 and len(severities) > 1
            severity = np.array([0, 1] if alone else [0, *severities])
            axes.plot(severity, accuracy.mean(0), color=colors[method], label=plain(method, MOST), lw=1.5)
            axes.plot(severity, accuracy.T, ".", color=colors[method], ms=3, alpha=0.6)
        axes.set_title(name.replace("_", " "), fontsize=8)
        axes.set_xticks(severity, ["clean", *map(str, severity[1:])])
        axes.tick_params(labelsize=7)
        axes.grid(color="#e8e8e8", linewidth=0.5)
        axes.set_ylim(bottom=0)
    for axes in list(figure.axes)[len(curves) :]:
        axes.remove()
    figure.supylabel("overall accuracy %", fontsize=8)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(methods), fontsize=8, frameon=False)
    figure.tight_layout(rect=(0.01, 0.06, 1, 1))
    return figure
