"""Shapes that look alike are of one class: probabilities spread over a graph of nearest neighbours."""

import numpy as np
from scipy.sparse import csr_matrix, diags

NEIGHBOURS, SHARE, ROUNDS, WIDTH = 5, 0.8, 30, 0.1
CHUNK = 1024


def spread_labels(
    features: np.ndarray,
    probabilities: np.ndarray,
    neighbours: int = NEIGHBOURS,
    share: float = SHARE,
    rounds: int = ROUNDS,
) -> np.ndarray:
    """Spread labels: ``F = share * A F + (1 - share) * P``, again and again, from ``F = P`` on.

    A is the symmetric graph of the nearest neighbours by cosine, an edge weighing ``exp((cosine - 1) /
    0.1)``, normalised by the degrees of its two ends. Source: Zhou et al., Learning with Local and Global
    Consistency, NeurIPS 2003.

    Args:
        features: (S, C), no row of zeros alone.
        probabilities: (S, K) where it starts, P; one-hot where the class is known.
        neighbours: Of a shape; at most S - 1 are taken.
        share: Of what comes from the neighbours, in [0, 1).
        rounds: How often.

    Returns:
        (S, K) float64, rows of sum 1.
    """
    count = len(features)
    neighbours = min(neighbours, count - 1)
    start = np.asarray(probabilities, np.float64)
    if neighbours < 1:
        return start
    unit = np.asarray(features, np.float32)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    nearest, weights = np.empty((2, count, neighbours))
    for first in range(0, count, CHUNK):
        rows = np.arange(first, min(first + CHUNK, count))
        cosine = unit[rows] @ unit.T
        cosine[np.arange(len(rows)), rows] = -np.inf  # a shape is not a neighbour of its own
        nearest[rows] = np.argpartition(-cosine, neighbours - 1, axis=1)[:, :neighbours]
        near = np.take_along_axis(cosine, nearest[rows].astype(np.int64), 1)
        weights[rows] = np.exp((near - 1) / WIDTH)
    places = np.repeat(np.arange(count), neighbours), nearest.astype(np.int64).ravel()
    graph = csr_matrix((weights.ravel(), places), shape=(count, count))
    graph = (graph + graph.T) / 2
    scale = diags(1 / np.sqrt(np.maximum(np.asarray(graph.sum(1)).ravel(), 1e-300)))
    graph = scale @ graph @ scale
    spread = start
    for _ in range(rounds):
        spread = share * (graph @ spread) + (1 - share) * start
    return spread / spread.sum(1, keepdims=True)
