"""Retrieval: how far up a ranking by distance the shapes of the query's class stand."""

from typing import NamedTuple

import numpy as np

DISTANCES = ("cosine", "euclidean")
TIE_DECIMALS = 9  # beyond them, distances of features of length 1 differ by rounding
CHUNK = 256


class AveragePrecision(NamedTuple):
    """Average precision of each query, in [0, 1]."""

    without_self: np.ndarray  # (S,) the query is not in the gallery; NaN where no other is of its class
    with_self: np.ndarray  # (S,) it is, and found first


def average_precision(
    values: np.ndarray, labels: np.ndarray, distance: str = "cosine", l1_normalized: bool = False
) -> AveragePrecision:
    """Rank all shapes by their distance from each, and rate the rankings.

    AP is the mean, over the R relevant shapes, of r / rank_r, where the r-th relevant one stands at rank_r
    (from 1); relevant are the shapes of the query's class. A query that counts as part of the gallery is
    always found first, which flatters: published evaluations differ in this. Among shapes at the same
    distance those of other classes come first, so that a tie never flatters and the shapes' order does not
    matter.

    Args:
        values: (S, C) features.
        labels: (S,) int classes.
        distance: ``cosine`` (a feature of length 0 is at distance 1 from all) or ``euclidean``.
        l1_normalized: Divide each feature by the sum of its magnitudes first. Some published evaluations do;
            it makes no difference to the cosine.

    Raises:
        ValueError: There is no such distance, or features are not (S, C).
    """
    if distance not in DISTANCES:
        raise ValueError(f"the distance is {' or '.join(DISTANCES)}, not {distance!r}")
    values, labels = np.asarray(values, np.float64), np.asarray(labels)
    if values.ndim != 2 or len(values) != len(labels):
        raise ValueError(f"needs features (S, C) and S labels, not {values.shape} and {labels.shape}")
    if l1_normalized:
        values = _divided(values, np.abs(values).sum(1))
    norms = np.linalg.norm(values, axis=1)
    values = _divided(values, norms if distance == "cosine" else np.full(len(values), norms.max()))
    without, within = [], []
    for start in range(0, len(values), CHUNK):
        rows = slice(start, start + CHUNK)
        ranking = _relevance(values, labels, rows, distance)
        found = ranking.cumsum(1)
        rank = np.arange(1, ranking.shape[1] + 1)
        count = found[:, -1]
        some = np.where(count > 0, count, np.nan)
        without.append((ranking * found / rank).sum(1) / some)
        within.append((1 + (ranking * (found + 1) / (rank + 1)).sum(1)) / (count + 1))
    return AveragePrecision(np.concatenate(without), np.concatenate(within))


def _divided(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Divide each row; a row of zeros stays."""
    return np.divide(values, by[:, None], out=np.zeros_like(values), where=by[:, None] > 0)


def _relevance(values: np.ndarray, labels: np.ndarray, rows: slice, distance: str) -> np.ndarray:
    """Return (Q, S - 1) bool: for each query, whether the others are relevant, nearest first."""
    from scipy.spatial.distance import cdist

    distances = 1 - values[rows] @ values.T if distance == "cosine" else cdist(values[rows], values)
    relevant = labels[rows, None] == labels
    queries = np.arange(len(distances))
    distances[queries, queries + rows.start] = -1  # the query itself comes first, and is taken out
    order = np.lexsort((relevant, distances.round(TIE_DECIMALS)), axis=1)
    return np.take_along_axis(relevant, order, 1)[:, 1:]
