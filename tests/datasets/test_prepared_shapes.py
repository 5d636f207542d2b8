"""The one dataset class: rows, prefixes, masks, views, and the parts of train."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pointmcd.datasets.label_choice import share_of_each_class
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.prepared_shapes import PreparedShapes, whole_batch
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
        ({"num_points": 129}, "num_points is 129, but .* holds 128 .* from 1 to 128, or .* prepare --points"),
        ({"views": 5}, "views is 5, but .* holds 4"),
        ({"parts": True}, "was prepared without parts; its source has none"),
        ({"split": "tset"}, "has no split 'tset'"),
        (
            {"views": 1, "part_views": True, "depths": True},
            "was prepared without part_views, depths; prepare it again with --depths",
        ),
        ({"label_fraction": 0.0}, "label_fraction is 0.0, must be more than 0 and at most 1"),
    ],
)
def test_what_is_not_there_is_an_error(tiny_set, options, message):
    options = {"split": "train", "num_points": 10, **options}
    with pytest.raises(ValueError, match=message):
        PreparedShapes(str(tiny_set), **options)


def test_a_missing_cache_says_how_to_make_it(tiny_set):
    with pytest.raises(FileNotFoundError, match=r"pointmcd cache-teacher .* --name none"):
        PreparedShapes(str(tiny_set), "train", num_points=10, teacher="none")


def test_label_and_depth_images_are_of_the_views_drawn(parts_set):
    options = {
        "num_points": 8,
        "parts": True,
        "views": 2,
        "part_views": True,
        "depths": True,
        "teacher": "parts",
    }
    dataset = PreparedShapes(str(parts_set), "train", **options)
    split = PreparedSet(parts_set).split("train")
    torch.manual_seed(0)
    batch = dataset.__getitems__([5, 1])
    assert batch["part_views"].shape == batch["depths"].shape == (2, 2, 64, 64)
    assert (batch["part_views"].dtype, batch["depths"].dtype) == (torch.int64, torch.float32)
    assert batch["parts"].dtype == torch.int64
    assert "logits" not in batch["teacher"]
    for place, shape in enumerate((5, 1)):
        for slot, view in enumerate(batch["view_index"][place].tolist()):
            np.testing.assert_array_equal(
                batch["part_views"][place, slot], split.part_views.read(shape, view)
            )
            np.testing.assert_array_equal(batch["depths"][place, slot], split.depths.read(shape, view))
    background = batch["part_views"] == 10
    assert torch.equal(background, batch["depths"].isinf())
    assert (batch["views"].amax(2)[background] == 255).all()
    with pytest.raises(ValueError, match="but views is 0"):
        PreparedShapes(str(parts_set), "train", num_points=8, depths=True)


def test_metainfo_names_the_parts(parts_set, tiny_set):
    info = PreparedShapes(str(parts_set), "test", num_points=8).metainfo
    assert (info["parts"][0], info["class_parts"]) == ("chair-seat", [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]])
    info = PreparedShapes(str(tiny_set), "test", num_points=8).metainfo
    assert (info["parts"], info["class_parts"]) == (None, None)


def test_a_fraction_of_the_labels(tiny_set):
    def rows(fraction: float, seed: int = 0, split: str = "train") -> list[int]:
        options = {"num_points": 1, "label_fraction": fraction, "fraction_seed": seed}
        return PreparedShapes(str(tiny_set), split, **options).rows.tolist()

    labels = PreparedSet(tiny_set).split("train").labels
    assert rows(1.0) == list(range(24))
    for fraction, count in ((0.01, 1), (0.34, 2), (0.5, 3)):
        assert np.bincount(labels[rows(fraction)]).tolist() == [count] * 4
    assert set(rows(0.01)) < set(rows(0.34)) < set(rows(0.5))
    assert rows(0.5) != rows(0.5, seed=1)
    assert set(rows(0.5, split="fit")) <= set(rows(1.0, split="fit"))
    many = np.zeros(1000, np.int64)
    assert len(share_of_each_class(many, np.arange(0, 1000, 2), 0.05, 0)) == 25
