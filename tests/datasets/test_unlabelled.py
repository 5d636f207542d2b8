"""Shapes without labels beside labelled ones, and teachers that have seen other labels."""

import shutil

import numpy as np
import pytest
import torch

from pointmcd.datasets.label_choice import labelled_rows, labels_record
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.datasets.teacher_cache import TeacherCacheWriter


def shapes(root, **options):
    return PreparedShapes(str(root), **{"split": "train", "num_points": 8, **options})


@pytest.mark.parametrize("split", ["train", "fit"])
def test_the_rest_comes_without_its_labels(tiny_set, split):
    few = shapes(tiny_set, split=split, label_fraction=0.34)
    mixed = shapes(tiny_set, split=split, label_fraction=0.34, unlabelled="rest")
    every = shapes(tiny_set, split=split)
    assert np.array_equal(mixed.rows, every.rows)
    assert np.array_equal(mixed.rows[mixed.labelled], few.rows)
    batch = mixed.__getitems__(range(len(mixed)))
    assert np.array_equal(batch["label"] >= 0, mixed.labelled)
    assert np.array_equal(batch["label"][torch.from_numpy(mixed.labelled)], few.labels)
    assert np.array_equal(mixed.labels, batch["label"])


def test_no_labels_at_all(tiny_set):
    assert (shapes(tiny_set, unlabelled="all").labels == -1).all()
    with pytest.raises(ValueError, match="unlabelled is 'some'"):
        shapes(tiny_set, unlabelled="some")


def test_with_parts_it_is_the_parts_that_are_not_known(parts_set):
    dataset = shapes(parts_set, parts=True, label_fraction=0.25, unlabelled="rest")
    batch = dataset.__getitems__(range(len(dataset)))
    assert (batch["label"] >= 0).all()
    assert np.array_equal((batch["parts"] >= 0).all(1), dataset.labelled)
    assert np.array_equal((batch["parts"] == -1).all(1), ~dataset.labelled)


@pytest.fixture
def taught_by_some(tiny_set, tmp_path):
    """A set with a teacher that has seen a third of the labels of ``fit``."""
    root = shutil.copytree(tiny_set, tmp_path / "set")
    prepared = PreparedSet(root)
    rows = labelled_rows(np.asarray(prepared.split("train").labels), "fit", 0.34, 1)
    writer = TeacherCacheWriter(root, "own")
    for split in prepared.splits:
        size = len(prepared.split(split))
        writer.write_split(split, iter([{"view_descriptors": torch.zeros(size, 4, 2)}]))
    writer.finish({"accuracy": {}, "labels": labels_record(prepared.digest, "fit", rows, 0.34, 1)})
    return root


@pytest.mark.parametrize(
    "options",
    [
        {"split": "fit", "label_fraction": 0.34, "fraction_seed": 1, "unlabelled": "rest"},
        {"split": "fit", "label_fraction": 0.34, "fraction_seed": 1},
        {"split": "held_out"},
        {"split": "test"},
    ],
)
def test_a_teacher_of_the_same_labels_is_taken(taught_by_some, options):
    assert shapes(taught_by_some, teacher="own", **options).teacher is not None


@pytest.mark.parametrize(
    "options",
    [
        {"split": "train"},
        {"split": "fit"},
        {"split": "fit", "label_fraction": 0.34, "fraction_seed": 0, "unlabelled": "rest"},
        {"split": "fit", "label_fraction": 0.2, "fraction_seed": 1, "unlabelled": "rest"},
        {"split": "fit", "unlabelled": "all"},
    ],
)
def test_a_teacher_of_other_labels_is_refused(taught_by_some, options):
    with pytest.raises(ValueError, match=r"has seen the labels of 8 shapes .*34 % of each class by seed 1"):
        shapes(taught_by_some, teacher="own", **options)
