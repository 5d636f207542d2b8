"""Features as a picture: each shape a point in two dimensions, coloured by its class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = "osD^vP*X"
METHODS = ("pca", "tsne")
WIDTH = 6.0  # of the picture without its legend, in inches
LEGEND_ROWS = 32
COLORS = 24  # each with the first marker, then each with the second
MOST = 40  # letters of a name


def embed(values: np.ndarray, method: str = "pca", seed: int = 0) -> np.ndarray:
    """Put features into two dimensions.

    Args:
        values: (S, C) features, three shapes at least.
        method: ``pca``, the two directions of largest variance, or ``tsne`` (van der Maaten and Hinton,
            2008), which starts from them; neighbourhoods in it say something, distances do not.
        seed: Of t-SNE.

    Returns:
        (S, 2) float64.

    Raises:
        ValueError: There is no such method, or there are too few shapes.
    """
    if method not in METHODS:
        raise ValueError(f"a picture is made by {' or '.join(METHODS)}, not by {method!r}")
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or len(values) < 3:
        raise ValueError(f"a picture needs features (S, C) of at least three shapes, not {values.shape}")
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    places = PCA(2, svd_solver="full").fit_transform(values)
    if method == "pca":
        return places
    scale = 1e-4 / max(places[:, 0].std(), np.finfo(float).tiny)  # as scikit-learn scales its own start
    perplexity = min(30.0, (len(values) - 1) / 3)
    return TSNE(2, init=places * scale, perplexity=perplexity, random_state=seed).fit_transform(values)


def draw_embedding(
    values: np.ndarray, labels: np.ndarray, names: Sequence[str], method: str = "pca", seed: int = 0
) -> Figure:
    """Draw features in two dimensions, a colour and a marker for each class that is there.

    Args:
        values: (S, C) features.
        labels: (S,) int classes.
        names: K class names.
        method: As ``embed``.
        seed: As ``embed``.
    """
    from pointmcd.visualization.colors import distinct_colors
    from pointmcd.visualization.text import Picture, plain, width

    places = embed(values, method, seed)
    labels = np.asarray(labels)
    classes = np.unique(labels)
    shown = [plain(names[label], MOST) for label in classes]
    columns = -(-len(classes) // LEGEND_ROWS)
    legend = columns * (0.4 + 0.065 * max(map(width, shown)))
    figure = Picture(WIDTH + legend, WIDTH)
    axes = figure.add_axes((0.01, 0.03, (WIDTH - 0.1) / (WIDTH + legend), 0.96))
    colors, drawn = distinct_colors(COLORS), []
    for number, label in enumerate(classes):
        x, y = places[labels == label].T
        marker = MARKERS[number // len(colors) % len(MARKERS)]
        color = colors[number % len(colors)]
        drawn.append(axes.scatter(x, y, s=14, color=color, marker=marker, linewidths=0, alpha=0.8))
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#b0b0b0")
    by = {"pca": "PCA", "tsne": "t-SNE"}[method]
    axes.set_xlabel(f"{len(labels)} shapes by {by}", color="#505050", fontsize=8)
    axes.legend(
        drawn,
        shown,
        loc="upper left",
        bbox_to_anchor=(1, 1),
        ncols=columns,
        fontsize=7,
        frameon=False,
        handletextpad=0.2,
    )
    return figure
