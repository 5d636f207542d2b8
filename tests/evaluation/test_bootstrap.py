"""The paired bootstrap against cases whose answer is known."""

import numpy as np
import pytest

from pointmcd.evaluation.bootstrap import paired_difference


def test_equal_methods_differ_by_nothing():
    right = np.random.default_rng(0).random((3, 200)) < 0.7
    assert paired_difference(right, right) == (0, 0, 0)
    assert not paired_difference(right, right).clear


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
