"""The paired bootstrap against cases whose answer is known."""

import numpy as np
import pytest

from pointmcd.evaluation.bootstrap import Difference, paired_difference


def test_equal_methods_differ_by_nothing():
    right = np.random.default_rng(0).random((3, 200)) < 0.7
    assert paired_difference(right, right) == (0, 0, 0)
    assert not paired_difference(right, right).clear


def test_a_bound_at_0_is_no_clear_difference():
    """Sums of shares that should cancel come out as 2e-16."""
    assert not Difference(4.0, 2.6e-16, 8.0).clear
    assert not Difference(-4.0, -8.0, -2.6e-16).clear
    assert Difference(4.0, 0.01, 8.0).clear
    assert Difference(-4.0, -8.0, -0.01).clear


def test_one_seed_is_the_binomial_interval():
    """One seed, right on 60 shapes of 100 against none: the standard error is that of a proportion."""
    second = np.arange(100)[None] < 60
    found = paired_difference(np.zeros((1, 100), bool), second, samples=20_000)
    error = 100 * np.sqrt(0.6 * 0.4 / 100)
    assert found.mean == pytest.approx(60)
    assert found.low == pytest.approx(60 - 1.96 * error, abs=1)
    assert found.high == pytest.approx(60 + 1.96 * error, abs=1)
    assert found.clear


def test_pairing_counts():
    """Two methods that fail on the same shapes are told apart where unpaired noise would hide it."""
    rng = np.random.default_rng(0)
    first = rng.random((3, 400)) < 0.5
    second = first.copy()
    second[:, :20] = True  # never worse, better on some
    found = paired_difference(first, second)
    assert found.low > 0


def test_luck_of_the_seeds_widens_the_interval():
    """Gains of +10, 0 and -10 points by seed: the mean is 0 and the interval reaches far to both sides."""
    first, second = np.zeros((3, 400), bool), np.zeros((3, 400), bool)
    second[0, :40] = True
    first[2, :40] = True
    found = paired_difference(first, second)
    assert found.mean == pytest.approx(0)
    assert found.low < -5
    assert found.high > 5


def test_results_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 10\) and \(2, 10\)"):
        paired_difference(np.zeros((3, 10), bool), np.zeros((2, 10), bool))


def test_ious_count_as_they_are():
    """A gain of 0.3 on every other shape: the standard error is that of a mean of S values."""
    first = np.tile([0.5, 0.2], 100)[None]
    second = np.tile([0.5, 0.5], 100)[None]
    found = paired_difference(first, second, samples=20_000)
    error = 100 * 0.15 / np.sqrt(200)
    assert found.mean == pytest.approx(15)
    assert found.low == pytest.approx(15 - 1.96 * error, abs=0.2)
    assert found.high == pytest.approx(15 + 1.96 * error, abs=0.2)


def test_mean_over_classes():
    """Shapes of a class are drawn among themselves: each class counts the same and never drops out."""
    labels = np.array([0] * 99 + [1])
    first, second = np.zeros((2, 100)), np.zeros((2, 100))
    second[:, 99] = 0.4
    assert paired_difference(first, second, labels) == pytest.approx((20, 20, 20))
    assert paired_difference(first, second).mean == pytest.approx(0.4)


def test_standard_error_of_a_mean_over_classes():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [50, 200])
    second = np.where(labels == 0, rng.random(250), 0.5 * rng.random(250))[None]
    found = paired_difference(np.zeros((1, 250)), second, labels, samples=20_000)
    halves = [second[0, labels == label] for label in (0, 1)]
    error = 100 * np.sqrt(sum(half.var() / len(half) for half in halves)) / 2
    mean = 50 * sum(half.mean() for half in halves)
    assert found.mean == pytest.approx(mean)
    assert found.low == pytest.approx(mean - 1.96 * error, abs=0.2)
    assert found.high == pytest.approx(mean + 1.96 * error, abs=0.2)


def test_labels_must_be_one_a_shape():
    with pytest.raises(ValueError, match=r"each of 10 shapes, not \(9,\)"):
        paired_difference(np.zeros((1, 10)), np.zeros((1, 10)), np.zeros(9, int))
