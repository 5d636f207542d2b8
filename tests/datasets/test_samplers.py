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
