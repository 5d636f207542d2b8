"""How good networks are with few and many labels, as a picture."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from pointmcd.visualization.colors import distinct_colors
from pointmcd.visualization.text import Picture, plain

FIRST = ("#6b6b6b", "#2c6fad", "#cf3f54")  # teacher, baseline and distilled, as a rule
MOST = 60  # letters of a name


def draw_label_shares(curves: Mapping[str, Mapping[float, Sequence[float]]]) -> Figure:
    """Draw accuracy over the share of the labels: each network's mean as a line, its seeds as points.

    Args:
        curves: By network and share of the labels in percent, accuracies in percent, one a seed. A network
            may lack a share.

    Raises:
        ValueError: There is no network, or one of them has no share.
    """
    if not curves or not all(curves.values()):
        raise ValueError("a picture over the share of the labels needs an accuracy of each network")
    figure = Picture(5.2, 3.6)
    axes = figure.add_subplot()
    for (name, of_shares), color in zip(curves.items(), distinct_colors(len(curves), FIRST), strict=True):
        shares = sorted(of_shares)
        means = [np.mean(of_shares[share]) for share in shares]
        axes.plot(shares, means, color=color, label=plain(name, MOST), lw=1.5)
        for share in shares:
            axes.plot([share] * len(of_shares[share]), of_shares[share], ".", color=color, ms=4, alpha=0.6)
    ticks = sorted({share for of_shares in curves.values() for share in of_shares})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{share:g} %" for share in ticks])
    axes.minorticks_off()
    axes.tick_params(labelsize=8)
    axes.set_xlabel("of the training shapes have a label", fontsize=8)
    axes.set_ylabel("overall accuracy %", fontsize=8)
    axes.grid(color="#e8e8e8", linewidth=0.5)
    axes.legend(fontsize=8, frameon=False, loc="best")
    figure.tight_layout()
    return figure
