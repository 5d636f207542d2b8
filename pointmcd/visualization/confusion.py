"""The confusion matrix as a picture."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from pointmcd.visualization.text import Picture, plain, width

RIGHT = LinearSegmentedColormap.from_list("right", ["#ffffff", "#2c6fad"])
WRONG = LinearSegmentedColormap.from_list("wrong", ["#ffffff", "#f2a07b", "#b3261e"])
CELL_INCH = 0.24
MOST = 40  # letters of a name


def draw_confusion(confusion: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw counts, each row coloured by its share of the class: blue where right, red where wrong.

    Args:
        confusion: (K, K) counts, row the true class, column the predicted one. Rows may be empty.
        names: K class names.

    Raises:
        ValueError: The matrix is not square, or its size is not the number of names.
    """
    confusion = np.asarray(confusion)
    count = len(names)
    if confusion.shape != (count, count):
        raise ValueError(
            f"a confusion matrix of {count} classes is ({count}, {count}), got {confusion.shape}"
        )
    total = confusion.sum(1, keepdims=True)
    share = confusion / np.maximum(total, 1)
    right = np.eye(count, dtype=bool)
    # A square root: a tenth of a class that goes wrong is already a third of the way to full red.
    shade = np.where(right, share, np.sqrt(share))
    colors = np.where(right[..., None], RIGHT(shade), WRONG(shade))

    shown = [plain(name, MOST) for name in names]
    cell = max(CELL_INCH, 4.5 / count)
    font = 72 * min(cell, 0.3) * 0.5
    margin = 0.6 * font / 72 * max(map(width, shown)) + 0.3
    size = cell * count + margin + 0.4
    figure = Picture(size, size)
    axes = figure.add_axes((margin / size, 0.4 / size, cell * count / size, cell * count / size))
    axes.imshow(colors, interpolation="nearest")
    axes.set_xticks(range(count), shown, rotation=90, fontsize=font)
    axes.set_yticks(range(count), shown, fontsize=font)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, pad=2)
    axes.set_xticks(np.arange(count - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(count - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="#e8e8e8", linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    for spine in axes.spines.values():
        spine.set_color("#b0b0b0")
    digits = len(str(confusion.max()))
    for row, column in zip(*np.nonzero(confusion), strict=True):
        axes.text(
            column,
            row,
            f"{confusion[row, column]:d}",
            ha="center",
            va="center",
            fontsize=0.85 * font * min(1, 3 / digits),
            color="white" if shade[row, column] > 0.6 else "#303030",
        )
    accuracy = np.trace(confusion) / max(confusion.sum(), 1)
    figure.text(
        margin / size,
        0.15 / size,
        f"rows: true class · columns: prediction · {accuracy:.1%} of {confusion.sum()} right",
        fontsize=max(font, 7),
        color="#505050",
    )
    return figure
