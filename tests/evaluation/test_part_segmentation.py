"""IoU of parts: cases counted by hand, properties, and the metric over one process and two."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pointmcd.evaluation.metrics import PartSegmentationMetric
from pointmcd.evaluation.part_segmentation import (
    mean_ious,
    part_ious,
    predict_parts,
    shape_ious,
    worst_median_best,
)

CLASS_PARTS = [[0, 1, 2], [3, 4]]
PROTOCOLS = ("standard", "official")


@pytest.mark.parametrize(
    ("predicted", "protocol", "expected"),
    [
        # truth 0 0 0 1: part 2 is absent from it
        ([0, 0, 1, 1], "standard", [2 / 3, 1 / 2, 1]),
        ([0, 0, 1, 1], "official", [2 / 3, 1 / 2, 1]),
        ([0, 0, 2, 1], "standard", [2 / 3, 1, 0]),  # predicted although absent
        ([0, 0, 2, 1], "official", [2 / 3, 1, 1]),
        ([0, 4, 4, 4], "official", [1 / 3, 0, 1]),  # another category's parts
        ([2, 2, 2, 2], "standard", [0, 0, 0]),
        ([2, 2, 2, 2], "official", [0, 0, 1]),
    ],
)
def test_counted_by_hand(predicted, protocol, expected):
    found = part_ious(np.array([0, 0, 0, 1]), np.array(predicted), CLASS_PARTS[0], protocol)
    np.testing.assert_allclose(found, expected)


def test_the_best_part_is_of_the_category_or_of_all():
    scores = np.array([[0.1, 0.3, 0.2, 0.4, 0.0], [0.0, 0.1, 0.2, 0.3, 0.4]])
    assert predict_parts(scores, [0, 1, 2]).tolist() == [1, 2]
    assert predict_parts(scores, [3, 4]).tolist() == [3, 4]
    assert predict_parts(scores, [2, 0]).tolist() == [2, 2]  # category parts in any order
    assert predict_parts(scores, [0, 1, 2], "official").tolist() == [3, 4]


def test_the_two_means():
    """Three shapes of one category, one of another, none of a third."""
    found = mean_ious(np.array([0.2, 0.4, 0.6, 1.0]), np.array([0, 0, 0, 2]))
    assert found["instance_miou"] == pytest.approx(55)
    assert found["category_miou"] == pytest.approx(70)


def naive_iou(truth, predicted, parts, protocol):
    """The mean over parts by counting points one at a time."""
    total = 0.0
    for part in parts:
        both = either = true = 0
        for a, b in zip(truth.tolist(), predicted.tolist(), strict=True):
            both += a == part and b == part
            either += a == part or b == part
            true += a == part
        empty = either == 0 if protocol == "standard" else true == 0
        total += 1.0 if empty else both / either
    return total / len(parts)


@st.composite
def shapes(draw):
    """(truth, predicted, category): a shape's parts, and any of the five parts predicted."""
    label = draw(st.integers(0, 1))
    size = draw(st.integers(1, 30))
    truth = draw(st.lists(st.sampled_from(CLASS_PARTS[label]), min_size=size, max_size=size))
    predicted = draw(st.lists(st.integers(0, 4), min_size=size, max_size=size))
    return np.array(truth), np.array(predicted), label


@given(shapes(), st.sampled_from(PROTOCOLS), st.randoms(use_true_random=False))
def test_properties(shape, protocol, random):
    truth, predicted, label = shape
    (found,) = shape_ious([truth], [predicted], [label], CLASS_PARTS, protocol)
    assert found == pytest.approx(naive_iou(truth, predicted, CLASS_PARTS[label], protocol))
    assert 0 <= found <= 1
    if protocol == "standard":
        assert (found == 1) == (truth == predicted).all()
    order = np.array(random.sample(range(len(truth)), len(truth)))
    assert shape_ious([truth[order]], [predicted[order]], [label], CLASS_PARTS, protocol) == [found]
    (perfect,) = shape_ious([truth], [truth], [label], CLASS_PARTS, protocol)
    assert perfect == 1


@given(shapes())
def test_for_one_prediction_the_official_iou_is_never_lower(shape):
    """It differs for parts that the truth lacks only; of scores, it may be lower: its choice is wider."""
    truth, predicted, label = shape
    standard = part_ious(truth, predicted, CLASS_PARTS[label])
    official = part_ious(truth, predicted, CLASS_PARTS[label], "official")
    assert (official >= standard).all()
    present = np.isin(CLASS_PARTS[label], truth)
    np.testing.assert_array_equal(official[present], standard[present])


def test_of_scores_the_official_iou_may_be_lower():
    scores, truth = np.array([[0.4, 0.0, 0.0, 0.6, 0.0]]), np.array([0])
    ious = [part_ious(truth, predict_parts(scores, [0, 1, 2], p), [0, 1, 2], p).mean() for p in PROTOCOLS]
    assert ious == [1, pytest.approx(2 / 3)]


def sample(label, truth, predicted, num_parts=5):
    scores = torch.nn.functional.one_hot(torch.tensor(predicted), num_parts).float()
    return {"index": 0, "label": label, "parts": torch.tensor(truth), "part_scores": scores}


def test_metric_collects_batches():
    metric = PartSegmentationMetric(CLASS_PARTS)
    metric.process(None, [sample(0, [0, 0, 0, 1], [0, 0, 2, 1]), sample(1, [3, 4], [3, 4])])
    metric.process(None, [sample(0, [0, 1, 1, 2], [0, 1, 1, 2])])
    found = metric.evaluate(3)
    assert found["instance_miou"] == pytest.approx(100 * (5 / 9 + 1 + 1) / 3)
    assert found["category_miou"] == pytest.approx(100 * ((5 / 9 + 1) / 2 + 1) / 2)
    assert found["point_accuracy"] == pytest.approx(90)
    assert metric.labels.tolist() == [0, 1, 0]
    np.testing.assert_allclose(metric.ious, [5 / 9, 1, 1])
    assert [part.tolist() for part in metric.predictions] == [[0, 0, 2, 1], [3, 4], [0, 1, 1, 2]]
    assert all(part.dtype == np.uint16 for part in metric.predictions)

    chair, lamp = metric.categories(["chair", "lamp"], ["seat", "back", "arm", "shade", "foot"])
    assert (chair.name, chair.shapes, chair.miou) == ("chair", 2, pytest.approx(700 / 9))
    assert chair.part_ious == pytest.approx({"seat": 500 / 6, "back": 100, "arm": 50})
    assert (lamp.shapes, lamp.miou) == (1, 100)


def test_a_category_without_shapes_is_left_out():
    metric = PartSegmentationMetric(CLASS_PARTS)
    metric.process(None, [sample(1, [3, 4], [3, 4])])
    assert metric.evaluate(1)["category_miou"] == 100
    assert [row.name for row in metric.categories(["chair", "lamp"], list("abcde"))] == ["lamp"]


def test_worst_median_best():
    ious = np.array([0.5, 0.1, 0.9, 0.3, 0.7, 0.2, 0.8])
    assert worst_median_best(ious) == {"worst": [1, 5], "median": [3, 0], "best": [6, 2]}
    assert worst_median_best(ious, 1) == {"worst": [1], "median": [0], "best": [2]}
    assert worst_median_best(ious[:1]) == {"worst": [0], "median": [0], "best": [0]}


def test_what_is_wrong_is_named():
    with pytest.raises(ValueError, match="'strict'; choose standard or official"):
        PartSegmentationMetric(CLASS_PARTS, "strict")
    with pytest.raises(ValueError, match=r"part 4, but this category has the parts \[0, 1, 2\]"):
        part_ious(np.array([0, 4]), np.array([0, 0]), CLASS_PARTS[0])
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        part_ious(np.array([0, 1]), np.array([0, 0, 1]), CLASS_PARTS[0])
    unlabelled = sample(0, [0], [0])
    del unlabelled["parts"]
    with pytest.raises(ValueError, match="set parts=True"):
        PartSegmentationMetric(CLASS_PARTS).process(None, [unlabelled])


WORKER = """
import json
import torch
from pointmcd.evaluation.metrics import PartSegmentationMetric
torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
metric = PartSegmentationMetric([[0, 1], [2, 3]])
for index in (rank, rank + 2, (rank + 4) % 5):  # five shapes, the sixth only fills up
    label = index % 2
    truth = torch.full((4,), 2 * label)
    scores = torch.zeros(4, 4)
    scores[:, 2 * label] = 1
    scores[:index, 2 * label + 1] = 2  # `index` of four points wrong
    metric.process(None, [{"label": label, "parts": truth, "part_scores": scores}])
found = metric.evaluate(5)
if rank == 0:
    found["labels"], found["ious"] = metric.labels.tolist(), metric.ious.tolist()
    found["wrong"] = [int((part % 2).sum()) for part in metric.predictions]
    print(json.dumps(found))
torch.distributed.barrier()  # before one of them goes
torch.distributed.destroy_process_group()
"""


def test_two_processes_give_the_split_in_order(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found["labels"] == [0, 1, 0, 1, 0]
    assert found["wrong"] == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(found["ious"], [1, 3 / 8, 1 / 4, 1 / 8, 0])
    assert found["point_accuracy"] == pytest.approx(50)
