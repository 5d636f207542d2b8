"""The one dataset class: rows, prefixes, masks, views, and the parts of train."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pointmcd.datasets.prepared import PreparedSet
from pointmcd.datasets.shapes import PreparedShapes, whole_batch
from pointmcd.datasets.teacher_cache import TeacherCache


def test_a_batch_is_the_rows_of_the_arrays(taught_set):
    dataset = PreparedShapes(
        str(taught_set),
        "test",
        num_points=50,
        normals=True,
        visibility=True,
        views="all",
        teacher="mobilenetv2",
    )
    split = PreparedSet(taught_set).split("test")
    rows = [3, 0, 7]
    batch = dataset.__getitems__(rows)
    np.testing.assert_array_equal(batch["points"], split.points[rows, :50])
    np.testing.assert_array_equal(batch["normals"], split.normals[rows, :50])
    np.testing.assert_array_equal(batch["label"], split.labels[rows])
    assert batch["visibility"].dtype == torch.int32
    np.testing.assert_array_equal(batch["visibility"].numpy().view(np.uint32), split.visibility[rows, :50])
    assert batch["views"].shape == (3, 4, 3, 32, 32)
    np.testing.assert_array_equal(batch["views"][1, 2].permute(1, 2, 0), split.views.read(0, 2))
    said = TeacherCache(taught_set, "mobilenetv2").split("test").rows(np.array(rows))
    for name, value in said.items():
        assert torch.equal(batch["teacher"][name], value)


def test_drawn_views_differ_and_say_which_they_are(taught_set):
    dataset = PreparedShapes(str(taught_set), "train", num_points=1, views=2)
    split = PreparedSet(taught_set).split("train")
    torch.manual_seed(0)
    drawn = [dataset.__getitems__(range(24)) for _ in range(2)]
    assert not torch.equal(drawn[0]["view_index"], drawn[1]["view_index"])
    for batch in drawn:
        assert (batch["view_index"][:, 0] < batch["view_index"][:, 1]).all()
        for shape in (0, 23):
            for place, view in enumerate(batch["view_index"][shape].tolist()):
                expected = split.views.read(shape, view)
                np.testing.assert_array_equal(batch["views"][shape, place].permute(1, 2, 0), expected)


def test_held_out_is_a_fifth_of_each_class(tiny_set):
    fit, held_out = (PreparedShapes(str(tiny_set), name, num_points=1) for name in ("fit", "held_out"))
    assert sorted([*fit.rows, *held_out.rows]) == list(range(24))
    labels = PreparedSet(tiny_set).split("train").labels
    assert np.bincount(labels[held_out.rows]).tolist() == [1, 1, 1, 1]  # of 6


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_passes_batches_through(taught_set, workers):
    dataset = PreparedShapes(str(taught_set), "train", num_points=20, visibility=True, teacher="mobilenetv2")
    loader = DataLoader(dataset, batch_size=8, collate_fn=whole_batch, num_workers=workers)
    index = torch.cat([batch["index"] for batch in loader])
    assert torch.equal(index, torch.arange(24))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_points": 129}, "num_points is 129, but .* holds 128"),
        ({"views": 5}, "views is 5, but .* holds 4"),
        ({"parts": True}, "was prepared without parts"),
        ({"split": "tset"}, "has no split 'tset'"),
    ],
)
def test_what_is_not_there_is_an_error(tiny_set, options, message):
    options = {"split": "train", "num_points": 10, **options}
    with pytest.raises(ValueError, match=message):
        PreparedShapes(str(tiny_set), **options)


def test_a_missing_cache_says_how_to_make_it(tiny_set):
    with pytest.raises(FileNotFoundError, match=r"python tools/cache_teacher.py .* --name none"):
        PreparedShapes(str(tiny_set), "train", num_points=10, teacher="none")
