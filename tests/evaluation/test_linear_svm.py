"""The linear SVM against scikit-learn's own pipeline, and what it may not see."""

import numpy as np
import pytest
from sklearn.model_selection import PredefinedSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from pointmcd.evaluation.linear_svm import GRID, linear_svm, standardised, stratified_folds, svm_predictions


def blobs(rng, counts, spread=1.5, channels=12):
    """Gaussian classes whose channels have scales from 1e-2 to 1e2."""
    centres = np.random.default_rng(7).normal(size=(len(counts), channels))
    labels = np.repeat(np.arange(len(counts)), counts)
    values = centres[labels] + spread * rng.normal(size=(len(labels), channels))
    return (values * np.logspace(-2, 2, channels) + 5).astype(np.float32), labels


def test_equals_the_pipeline_of_scikit_learn():
    rng = np.random.default_rng(0)
    (train, labels), (test, _) = blobs(rng, [17, 23, 9, 31]), blobs(rng, [20] * 4)
    found = linear_svm(train, labels, test, seed=3)
    folds = PredefinedSplit(stratified_folds(labels, 5, 3))
    sizes = np.bincount(stratified_folds(labels, 5, 3))
    expected = {}
    for c in GRID:
        pipeline = make_pipeline(StandardScaler(), SVC(C=c, kernel="linear"))
        scores = cross_val_score(pipeline, train.astype(np.float64), labels, cv=folds)
        expected[c] = 100 * np.average(scores, weights=sizes)
    assert found.cv_accuracy == pytest.approx(expected)
    assert found.c == min(c for c in GRID if expected[c] == pytest.approx(max(expected.values())))
    pipeline = make_pipeline(StandardScaler(), SVC(C=found.c, kernel="linear")).fit(train, labels)
    np.testing.assert_array_equal(found.predictions, pipeline.predict(test))


def test_the_test_split_has_no_say():
    """C and the standardisation are the same whatever else is asked about."""
    rng = np.random.default_rng(1)
    train, labels = blobs(rng, [12, 12, 12])
    test, _ = blobs(rng, [8, 8, 8])
    alone = linear_svm(train, labels, test[:5])
    among_others = linear_svm(train, labels, np.concatenate([test[:5], 1e4 * test]))
    assert alone.c == among_others.c
    np.testing.assert_array_equal(alone.predictions, among_others.predictions[:5])


def test_seeds_draw_other_folds_and_repeat():
    rng = np.random.default_rng(2)
    (train, labels), (test, _) = blobs(rng, [15, 15, 15], 3.0), blobs(rng, [9, 9, 9])
    first, same, other = (linear_svm(train, labels, test, seed) for seed in (0, 0, 1))
    assert first.cv_accuracy == same.cv_accuracy
    np.testing.assert_array_equal(first.predictions, same.predictions)
    assert first.cv_accuracy != other.cv_accuracy


@pytest.mark.parametrize("seed", range(3))
def test_folds_are_stratified(seed):
    counts = [1, 2, 5, 7, 20, 33]
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(6), counts))
    fold = stratified_folds(labels, 5, seed)
    assert np.ptp(np.bincount(fold, minlength=5)) <= 1
    for label in range(6):
        assert np.ptp(np.bincount(fold[labels == label], minlength=5)) <= 1


def test_standardised_on_train_alone():
    rng = np.random.default_rng(0)
    train = rng.normal(3, [1e-3, 1, 1e3, 0], (50, 4)).astype(np.float32)
    test = rng.normal(size=(20, 4))
    a, b = standardised(train, test)
    np.testing.assert_allclose(a[:, :3].mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(a[:, :3].std(0), 1)
    expected = StandardScaler().fit(train[:, :3].astype(np.float64)).transform(test[:, :3])
    np.testing.assert_allclose(b[:, :3], expected)
    assert not a[:, 3].any()
    assert not b[:, 3].any()


def test_features_that_say_nothing_still_get_an_answer():
    labels = np.repeat([0, 1], [4, 8])
    assert svm_predictions(np.ones((12, 3)), labels, np.ones((5, 3)), [1.0])[1.0].tolist() == [1] * 5


def test_classes_of_one_shape_among_others():
    train, labels = blobs(np.random.default_rng(0), [1, 1, 10, 10])
    assert set(linear_svm(train, labels, train).cv_accuracy) == set(GRID)


@pytest.mark.parametrize("labels", [[0, 1, 2], [3, 3, 3]])
def test_what_cannot_be_cross_validated_is_refused(labels):
    with pytest.raises(ValueError, match="needs two classes and, to choose C, a class of two shapes"):
        linear_svm(np.eye(3), np.array(labels), np.eye(3))
