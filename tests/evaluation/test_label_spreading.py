"""Label spreading against the dense formula, and on what must hold of it."""

import numpy as np
import pytest

from pointmcd.evaluation.label_spreading import spread_labels


def dense(features, start, neighbours, share, rounds):
    """Written out for each pair of shapes."""
    count = len(features)
    cosine = np.array([[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in features] for a in features])
    graph = np.zeros((count, count))
    for i in range(count):
        others = sorted((j for j in range(count) if j != i), key=lambda j: -cosine[i, j])
        for j in others[:neighbours]:
            graph[i, j] = np.exp((cosine[i, j] - 1) / 0.1)
    graph = (graph + graph.T) / 2
    degree = graph.sum(1)
    graph = graph / np.sqrt(degree[:, None] * degree[None])
    spread = start
    for _ in range(rounds):
        spread = share * graph @ spread + (1 - share) * start
    return spread / spread.sum(1, keepdims=True)


@pytest.mark.parametrize("neighbours", [1, 3])
def test_it_is_the_dense_formula(neighbours):
    rng = np.random.default_rng(0)
    features, start = rng.normal(size=(20, 4)), rng.dirichlet(np.ones(3), 20)
    ours = spread_labels(features, start, neighbours, 0.7, 4)
    np.testing.assert_allclose(ours, dense(features, start, neighbours, 0.7, 4), rtol=1e-4)


def test_one_label_in_each_heap_names_the_heap():
    rng = np.random.default_rng(1)
    features = np.concatenate([rng.normal(size=(30, 5)) * 0.1 + centre for centre in np.eye(5)[:3]])
    start = np.full((90, 3), 1 / 3)
    start[[3, 40, 77]] = np.eye(3)
    spread = spread_labels(features, start)
    assert np.array_equal(spread.argmax(1), np.repeat([0, 1, 2], 30))
    np.testing.assert_allclose(spread.sum(1), 1)


def test_alone_a_shape_keeps_what_it_has():
    start = np.array([[0.2, 0.8]])
    np.testing.assert_array_equal(spread_labels(np.ones((1, 3)), start), start)
