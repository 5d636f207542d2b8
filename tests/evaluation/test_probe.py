"""The linear probe: against scikit-learn, and that no logit has seen its own answer."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from pointmcd.datasets.label_choice import fold_numbers
from pointmcd.evaluation.probe import (
    Standardizer,
    choose_regularisation,
    cross_entropy,
    cross_fitted_logits,
    fit_probe,
)


@pytest.fixture
def shapes():
    """60 shapes of 3 classes, 80 channels: more unknowns than shapes."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat([0, 2, 3], 20))
    features = rng.normal(size=(60, 80)) + rng.normal(size=(4, 80))[labels]
    return Standardizer.of(features)(features), labels


def test_the_probe_is_the_logistic_regression_of_scikit_learn(shapes):
    features, labels = shapes
    probe = fit_probe(features, labels, 5, 0.01)
    exact = LogisticRegression(C=0.01, tol=1e-8, max_iter=5000).fit(features, labels)
    ours, theirs = probe.logits(features)[:, [0, 2, 3]], exact.decision_function(features)
    ours, theirs = ours - ours.mean(1, keepdims=True), theirs - theirs.mean(1, keepdims=True)
    np.testing.assert_allclose(ours, theirs, atol=0.02)
    assert (probe.logits(features)[:, [1, 4]] < probe.logits(features)[:, [0, 2, 3]].min() - 5).all()


def test_two_classes_have_the_odds_of_scikit_learn(shapes):
    features, labels = shapes
    two = labels != 3
    logits = fit_probe(features[two], labels[two], 4, 0.01).logits(features[two])
    exact = LogisticRegression(C=0.01, tol=1e-8, max_iter=5000).fit(features[two], labels[two])
    np.testing.assert_allclose(logits[:, 2] - logits[:, 0], exact.decision_function(features[two]), atol=0.02)


def test_no_logit_depends_on_its_own_label(shapes):
    """Another label on a shape changes nothing of what is said of its fold, and something elsewhere."""
    features, labels = shapes
    numbers = fold_numbers(labels, 5)
    before = cross_fitted_logits(features, labels, numbers, 4, [0.01])[0]
    for shape in (0, 17, 59):
        flipped = labels.copy()
        flipped[shape] = 0 if labels[shape] else 2
        after = cross_fitted_logits(features, flipped, numbers, 4, [0.01])[0]
        fold = numbers == numbers[shape]
        np.testing.assert_array_equal(after[fold], before[fold])
        assert np.abs(after[~fold] - before[~fold]).max() > 0.01


def test_folds_are_even_and_small_classes_in_none():
    labels = np.repeat([0, 1, 2, 5], [23, 4, 5, 100])
    numbers = fold_numbers(labels, 5, seed=3)
    assert (numbers[labels == 1] == -1).all()
    assert (numbers[labels != 1] >= 0).all()
    for label in (0, 2, 5):
        counts = np.bincount(numbers[labels == label], minlength=5)
        assert counts.max() - counts.min() <= 1
    assert not np.array_equal(numbers, fold_numbers(labels, 5, seed=4))
    with pytest.raises(ValueError, match="the number of folds is 1, must be at least 2"):
        fold_numbers(labels, 1)


def test_what_nobody_may_say_is_nan(shapes):
    features, labels = shapes
    features, labels = features[labels != 3], labels[labels != 3]
    labels[labels == 2] = np.where(np.arange(20) < 3, 1, 2)  # 3 shapes of class 1
    numbers = fold_numbers(labels, 5)
    logits = cross_fitted_logits(features, labels, numbers, 3, [0.01, 0.1])
    assert np.array_equal(np.isnan(logits).all((0, 2)), labels == 1)
    assert np.isfinite(logits[:, labels != 1]).all()


def test_the_regularisation_is_that_of_the_likeliest_answers(shapes):
    features, labels = shapes
    features = features + np.random.default_rng(1).normal(size=features.shape) * 3
    tried = [1e-6, 1e-2, 1e4]
    logits = cross_fitted_logits(features, labels, fold_numbers(labels, 5), 4, tried)
    losses = [cross_entropy(one, labels) for one in logits]
    assert choose_regularisation(logits, labels, tried) == int(np.argmin(losses)) == 1
    assert choose_regularisation(np.full_like(logits, np.nan), labels, [1e-3, 3.0, 0.3]) == 2
    assert cross_entropy(np.array([[0.0, np.log(3.0)]]), np.array([1])) == pytest.approx(np.log(4 / 3))


def test_standardised_channels():
    features = np.array([[1.0, 5.0], [3.0, 5.0]])
    np.testing.assert_allclose(Standardizer.of(features)(features), [[-1, 0], [1, 0]])
