"""Few-shot classification on frozen features, N ways and K shots.

The public protocol for pre-trained point networks (Sharma and Kaul, 2020; CrossPoint's evaluation): an
episode draws N classes, K support shapes and 20 other query shapes of each, standardises the features on the
support, fits a linear SVM with C = 1 to it and is asked about the queries. Ten episodes, mean and standard
deviation; support and queries come from one pool, there the training split.
"""

from dataclasses import dataclass

import numpy as np

from pointmcd.evaluation.linear_svm import svm_predictions
from pointmcd.evaluation.statistics import counted

REPEATS = 10
QUERIES = 20
C = 1.0


@dataclass(frozen=True)
class Episode:
    """Rows of the pool that an episode draws.

    Attributes:
        support: (N * K,) int64.
        query: (Q,) int64, none of them in the support.
    """

    support: np.ndarray
    query: np.ndarray


def eligible_classes(labels: np.ndarray, shots: int) -> np.ndarray:
    """Return the classes that can take part: those with K support shapes and at least one query shape."""
    classes, counts = np.unique(labels, return_counts=True)
    return classes[counts > shots]


def draw_episode(
    labels: np.ndarray, ways: int, shots: int, queries: int = QUERIES, seed: int = 0, repeat: int = 0
) -> Episode:
    """Draw one episode; the same of the same labels, whatever the features.

    A class with fewer than ``shots + queries`` shapes gives as many queries as are left of it, one at least.

    Args:
        labels: (S,) int classes of the pool.
        ways: N classes, without replacement.
        shots: K support shapes of each class.
        queries: Query shapes of each class.
        seed: Of all episodes.
        repeat: Which of them.

    Raises:
        ValueError: Fewer than N classes have K + 1 shapes.
    """
    labels = np.asarray(labels)
    classes = eligible_classes(labels, shots)
    if min(ways - 1, shots, queries) < 1:
        raise ValueError(f"an episode needs 2 ways, 1 shot and 1 query, not {ways}, {shots} and {queries}")
    if len(classes) < ways:
        raise ValueError(
            f"{ways} ways and {counted(shots, 'shot')} need {ways} classes of {shots + 1} shapes; "
            f"{len(classes)} classes of the pool have that many"
        )
    rng = np.random.default_rng((seed, repeat, ways, shots))
    support, query = [], []
    for label in rng.choice(classes, ways, replace=False):
        rows = rng.permutation(np.flatnonzero(labels == label))
        support.append(rows[:shots])
        query.append(rows[shots : shots + queries])
    return Episode(np.concatenate(support), np.concatenate(query))


def episode_accuracy(values: np.ndarray, labels: np.ndarray, episode: Episode) -> float:
    """Return the share of an episode's queries that are recognised, in percent.

    Args:
        values: (S, C) features of the pool.
        labels: (S,) int classes.
        episode: Of ``draw_episode``.
    """
    labels = np.asarray(labels)
    support, query = episode.support, episode.query
    predictions = svm_predictions(values[support], labels[support], values[query], [C])[C]
    return 100 * float((predictions == labels[query]).mean())
