"""Class-balanced draws: uniform over classes and within them, repeatable, shared out to processes."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import chisquare

from pointmcd.datasets import samplers
from pointmcd.registry import DATA_SAMPLERS


class Labels(SimpleNamespace):
    """A dataset of which the labels alone are known."""

    def __len__(self):
        return len(self.labels)


@pytest.fixture
def dataset():
    """Classes 1, 4 and 9 with 50, 3 and 7 shapes, in no order."""
    labels = np.repeat([1, 4, 9], [50, 3, 7])
    return Labels(labels=np.random.default_rng(0).permutation(labels))


def drawn(dataset, epoch=0, **options):
    sampler = DATA_SAMPLERS.build({"type": "ClassBalancedSampler", "dataset": dataset, **options})
    sampler.set_epoch(epoch)
    indices = list(sampler)
    assert len(indices) == len(sampler)
    return np.array(indices)


def test_classes_and_their_shapes_are_uniform(dataset):
    indices = drawn(dataset, num_samples=30000, seed=1)
    labels = dataset.labels[indices]
    assert chisquare([np.sum(labels == label) for label in (1, 4, 9)]).pvalue > 0.01
    for label in (1, 4, 9):
        counts = np.bincount(indices[labels == label], minlength=60)
        assert chisquare(counts[dataset.labels == label]).pvalue > 0.01


def test_draws_depend_on_seed_and_epoch_alone(dataset):
    first = drawn(dataset, seed=3, epoch=5)
    assert len(first) == 60
    assert np.array_equal(first, drawn(dataset, seed=3, epoch=5))
    assert not np.array_equal(first, drawn(dataset, seed=3, epoch=6))
    assert not np.array_equal(first, drawn(dataset, seed=4, epoch=5))


def test_processes_share_the_draws_out(dataset, monkeypatch):
    whole = drawn(dataset, num_samples=24, epoch=2)
    shares = []
    for rank in range(3):
        monkeypatch.setattr(samplers, "get_dist_info", lambda rank=rank: (rank, 3))
        shares.append(drawn(dataset, num_samples=24, epoch=2))
    assert np.array_equal(np.stack(shares, 1).ravel(), whole)


def test_labels_are_those_of_the_rows(tiny_set):
    """Of the part of a split that a dataset stands for."""
    from pointmcd.datasets.prepared_shapes import PreparedShapes

    dataset = PreparedShapes(str(tiny_set), "held_out", num_points=8)
    batch = dataset.__getitems__(range(len(dataset)))
    assert np.array_equal(dataset.labels, batch["label"])
    assert set(drawn(dataset, num_samples=200)) == set(range(len(dataset)))


@pytest.fixture
def few_labels():
    """40 shapes, 7 of them labelled."""
    labelled = np.zeros(40, bool)
    labelled[[1, 4, 5, 11, 20, 33, 39]] = True
    return Labels(labels=np.where(labelled, 3, -1), labelled=labelled)


def mixed(dataset, epoch=0, **options):
    sampler = DATA_SAMPLERS.build({"type": "LabelledShareSampler", "dataset": dataset, **options})
    sampler.set_epoch(epoch)
    indices = np.array(list(sampler))
    assert len(indices) == len(sampler)
    return indices


@pytest.mark.parametrize(("share", "batch", "count"), [(0.5, 8, 4), (0.25, 8, 2), (1.0, 8, 8), (0.0, 8, 0)])
def test_every_batch_has_its_share_of_labelled_draws(few_labels, share, batch, count):
    """The others go through all shapes: each as often as any other, but for one."""
    indices = mixed(few_labels, share=share, num_samples=800).reshape(-1, batch)
    chosen = few_labels.labelled[indices].sum(1)
    assert (chosen >= count).all()
    times = np.bincount(indices.ravel(), minlength=40)
    of_any, of_labelled = (1 - share) * 800 / 40, share * 800 / 7
    expected = np.where(few_labels.labelled, of_any + of_labelled, of_any)
    assert np.abs(times - expected).max() <= 2


def test_a_mixed_epoch_has_as_many_draws_as_shapes(few_labels):
    assert len(mixed(few_labels)) == len(mixed(few_labels, share=1.0)) == 40
    assert np.array_equal(mixed(few_labels, seed=1, epoch=2), mixed(few_labels, seed=1, epoch=2))
    assert not np.array_equal(mixed(few_labels, seed=1, epoch=2), mixed(few_labels, seed=1, epoch=3))


def test_where_all_are_labelled_an_epoch_is_one_order_of_them():
    dataset = Labels(labels=np.zeros(30, np.int64), labelled=np.ones(30, bool))
    assert np.array_equal(np.sort(mixed(dataset, share=0.5)), np.arange(30))


def test_processes_have_the_share_each(few_labels, monkeypatch):
    whole = mixed(few_labels, num_samples=160)
    parts = []
    for rank in range(2):
        monkeypatch.setattr(samplers, "get_dist_info", lambda rank=rank: (rank, 2))
        parts.append(mixed(few_labels, num_samples=160))
        assert (few_labels.labelled[parts[-1]].reshape(-1, 8).sum(1) >= 4).all()
    assert np.array_equal(np.sort(np.concatenate(parts)), np.sort(whole))


def test_a_share_needs_labels(few_labels):
    nobody = Labels(labels=few_labels.labels, labelled=np.zeros(40, bool))
    with pytest.raises(ValueError, match="no shape of the dataset is labelled"):
        mixed(nobody)
    with pytest.raises(ValueError, match=r"share is 1.5"):
        mixed(few_labels, share=1.5)
