"""Episodes: what is drawn, and what is made of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from pointmcd.evaluation.few_shot import Episode, draw_episode, eligible_classes, episode_accuracy

COUNTS = [3, 4, 12, 30, 8, 40]
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(6), COUNTS))


@settings(max_examples=50, deadline=None)
@given(ways=st.integers(2, 4), shots=st.integers(1, 7), queries=st.integers(1, 25), seed=st.integers(0, 1000))
def test_what_an_episode_holds(ways, shots, queries, seed):
    episode = draw_episode(LABELS, ways, shots, queries, seed)
    assert not set(episode.support) & set(episode.query)
    assert len(set(episode.support)) == len(episode.support) == ways * shots
    assert len(set(episode.query)) == len(episode.query)
    classes, support = np.unique(LABELS[episode.support], return_counts=True)
    assert len(classes) == ways
    assert (support == shots).all()
    for label in classes:
        expected = min(queries, COUNTS[label] - shots)
        assert expected >= 1
        assert (LABELS[episode.query] == label).sum() == expected


def test_episodes_differ_and_repeat():
    drawn = [draw_episode(LABELS, 3, 2, repeat=repeat) for repeat in range(10)]
    assert len({tuple(sorted(episode.support)) for episode in drawn}) == 10
    again = draw_episode(LABELS, 3, 2, repeat=4)
    np.testing.assert_array_equal(again.support, drawn[4].support)
    np.testing.assert_array_equal(again.query, drawn[4].query)
    other = draw_episode(LABELS, 3, 2, repeat=4, seed=1)
    assert other.support.tolist() != again.support.tolist()
    assert {label for episode in drawn for label in LABELS[episode.support]} == set(range(6))


def test_classes_too_small_for_a_query_do_not_take_part():
    assert eligible_classes(LABELS, 3).tolist() == [1, 2, 3, 4, 5]
    assert eligible_classes(LABELS, 12).tolist() == [3, 5]
    with pytest.raises(
        ValueError, match=r"5 ways and 10 shots need 5 classes of 11 shapes; 3 classes of the pool"
    ):
        draw_episode(LABELS, 5, 10)


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 0, 1), (2, 1, 0)])
def test_episodes_of_nothing_are_refused(size):
    with pytest.raises(ValueError, match="an episode needs 2 ways"):
        draw_episode(LABELS, *size)


def test_accuracy_equals_the_pipeline_of_scikit_learn():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(6, 9))[LABELS] + rng.normal(size=(len(LABELS), 9))
    for repeat in range(5):
        episode = draw_episode(LABELS, 4, 3, repeat=repeat)
        pipeline = make_pipeline(StandardScaler(), SVC(kernel="linear"))
        pipeline.fit(values[episode.support], LABELS[episode.support])
        expected = 100 * pipeline.score(values[episode.query], LABELS[episode.query])
        assert episode_accuracy(values, LABELS, episode) == pytest.approx(expected)


def test_accuracy_is_of_the_queries_alone():
    """Two classes on a line; one query of three lies on the wrong side."""
    values = np.array([[0.0], [1.0], [0.1], [0.9], [0.8]])
    episode = Episode(np.array([0, 1]), np.array([2, 3, 4]))
    assert episode_accuracy(values, np.array([0, 1, 0, 1, 0]), episode) == pytest.approx(200 / 3)
