"""Average precision against hand cases and a loop that follows the definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointmcd.evaluation.retrieval import average_precision


def by_definition(values, labels, distance, with_self):
    """Mean over relevant shapes of r / rank_r, one query, one shape at a time; ties to the irrelevant."""
    found = []
    for query in range(len(values)):
        gallery = []
        for shape in range(len(values)):
            if shape == query:
                continue
            a, b = values[query], values[shape]
            if distance == "cosine":
                far = 1 - a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
            else:
                far = np.linalg.norm(a - b)
            gallery.append((round(far, 9), labels[shape] == labels[query]))
        gallery.sort()
        relevant = ([True] if with_self else []) + [is_relevant for _, is_relevant in gallery]
        ranks = [rank for rank, is_relevant in enumerate(relevant, 1) if is_relevant]
        precisions = [number / rank for number, rank in enumerate(ranks, 1)]
        found.append(sum(precisions) / len(precisions) if precisions else np.nan)
    return found


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("size", [7, 300])  # within one part of the queries, and over two
def test_equals_the_definition(distance, size):
    rng = np.random.default_rng(size)
    values, labels = rng.normal(size=(size, 4)), rng.integers(0, 4, size)
    values /= np.linalg.norm(values, axis=1).max()  # so that both round at the same place
    found = average_precision(values, labels, distance)
    expected = by_definition(values, labels, distance, False)
    np.testing.assert_allclose(found.without_self, expected, rtol=1e-12)
    np.testing.assert_allclose(found.with_self, by_definition(values, labels, distance, True), rtol=1e-12)


def test_by_hand():
    """On a circle at 0, 10, 30 and 60 degrees, classes a b a a."""
    angles = np.radians([0, 10, 30, 60])
    values = np.stack([np.cos(angles), np.sin(angles)], 1) * [[1], [5], [0.1], [2]]
    found = average_precision(values, np.array([0, 1, 0, 0]))
    # from 0: b, a, a -> (1/2 + 2/3) / 2; from 30: b (20), then a at 30 and a at 30: (1/2 + 2/3) / 2
    # from 60: a at 30, b at 50, a at 60: (1 + 2/3) / 2; from 10 nothing is relevant
    expected = [7 / 12, np.nan, 7 / 12, 5 / 6]
    np.testing.assert_allclose(found.without_self, expected)
    # with itself: ranks 1, 3, 4 -> (1 + 2/3 + 3/4) / 3; from 60: 1, 2, 4 -> (1 + 1 + 3/4) / 3
    np.testing.assert_allclose(found.with_self, [29 / 36, 1, 29 / 36, 11 / 12])


def test_perfect_and_worst():
    labels = np.repeat(np.arange(3), 4)
    perfect = average_precision(np.eye(3)[labels], labels)
    assert (perfect.without_self == 1).all()
    assert (perfect.with_self == 1).all()
    # all the same: the 3 of the class stand behind the 8 of the others
    same = average_precision(np.ones((12, 5)), labels)
    np.testing.assert_allclose(same.without_self, (1 / 9 + 2 / 10 + 3 / 11) / 3)
    np.testing.assert_allclose(same.with_self, (1 + 2 / 10 + 3 / 11 + 4 / 12) / 4)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), size=st.integers(2, 30), distance=st.sampled_from(["cosine", "euclidean"])
)
def test_order_and_scale_make_no_difference(seed, size, distance):
    """Features with many ties: two channels of whole numbers."""
    rng = np.random.default_rng(seed)
    values, labels = rng.integers(0, 3, (size, 2)).astype(np.float32), rng.integers(0, 3, size)
    found = average_precision(values, labels, distance)
    order = rng.permutation(size)
    permuted = average_precision(1000 * values[order], labels[order], distance)
    for name in found._fields:
        np.testing.assert_allclose(getattr(permuted, name), getattr(found, name)[order], rtol=1e-12)
        in_range = getattr(found, name)[~np.isnan(getattr(found, name))]
        assert ((in_range > 0) & (in_range <= 1)).all()


def test_l1_normalisation_changes_the_euclidean_distance_alone():
    rng = np.random.default_rng(0)
    values, labels = rng.random((40, 6)), rng.integers(0, 4, 40)
    plain = average_precision(values, labels)
    normalized = average_precision(values, labels, l1_normalized=True)
    np.testing.assert_allclose(normalized.without_self, plain.without_self)
    expected = by_definition(values / values.sum(1, keepdims=True), labels, "euclidean", False)
    found = average_precision(values, labels, "euclidean", l1_normalized=True).without_self
    np.testing.assert_allclose(found, expected)
    assert not np.allclose(found, average_precision(values, labels, "euclidean").without_self)


def test_what_cannot_be_ranked_is_refused():
    with pytest.raises(ValueError, match="cosine or euclidean, not 'manhattan'"):
        average_precision(np.eye(3), np.arange(3), "manhattan")
    with pytest.raises(ValueError, match=r"\(3, 3\) and \(2,\)"):
        average_precision(np.eye(3), np.arange(2))
