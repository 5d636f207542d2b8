"""Average precision of boxes and their suppression, beside plain forms of both and cases by hand."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from projects.mvnet.mvnet.detection import BoxMetric
from projects.mvnet.mvnet.detection.intervals import mean_precision, paired_gain, read_found
from projects.mvnet.mvnet.detection.metric import average_precision, hits
from projects.mvnet.mvnet.detection.suppression import points_inside, suppress


def plain_iou(a, b):
    shared = math.prod(
        max(
            0.0, min(a[i] + a[i + 3] / 2, b[i] + b[i + 3] / 2) - max(a[i] - a[i + 3] / 2, b[i] - b[i + 3] / 2)
        )
        for i in range(3)
    )
    return shared / (math.prod(a[3:]) + math.prod(b[3:]) - shared)


def plain_figure(scenes, label, overlap):
    """AP of one class: all detections in one list by score, then the area under the highest precision at each
    recall or above, summed recall step by recall step.
    """
    truth = [
        [box for box, c in zip(s["true_boxes"], s["true_classes"], strict=True) if c == label] for s in scenes
    ]
    found = [
        (-score, number, box)
        for number, s in enumerate(scenes)
        for box, score, c in zip(s["boxes"], s["box_scores"], s["box_classes"], strict=True)
        if c == label
    ]
    taken, right, points = set(), 0, []
    for place, (_, number, box) in enumerate(sorted(found, key=lambda row: row[:2]), 1):
        ious = [plain_iou(box, other) for other in truth[number]]
        if ious and max(ious) > overlap and (number, ious.index(max(ious))) not in taken:
            taken.add((number, ious.index(max(ious))))
            right += 1
        points.append((right, right / place))
    total = sum(map(len, truth))
    area = sum(max([p for r, p in points if r >= step], default=0.0) for step in range(1, total + 1))
    return 100 * area / total


def some_scenes(draw, count=3):
    scenes = []
    for _ in range(count):
        truth = np.hstack([draw.uniform(0, 1.5, (4, 3)), draw.uniform(0.5, 1, (4, 3))])
        boxes = np.vstack([truth + draw.normal(0, 0.08, truth.shape)] * 2 + [truth[:2] + 0.3])
        scenes.append(
            {
                "boxes": boxes,
                "box_scores": draw.permutation(len(boxes)) / 10 + draw.uniform(0, 0.05),
                "box_classes": draw.integers(0, 3, len(boxes)),
                "true_boxes": truth,
                "true_classes": draw.integers(0, 2, 4),
            }
        )
    return scenes


def evaluated(scenes):
    metric = BoxMetric()
    metric.process(None, scenes)
    return metric.compute_metrics(metric.results), metric


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_the_metric_agrees_with_a_plain_twin(seed):
    scenes = some_scenes(np.random.default_rng(seed))
    found, _ = evaluated(scenes)
    there = np.unique(np.concatenate([scene["true_classes"] for scene in scenes]))
    for name, overlap in (("ap25", 0.25), ("ap50", 0.5)):
        assert found[name] == pytest.approx(np.mean([plain_figure(scenes, c, overlap) for c in there]))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_scenes_that_are_drawn_again_count_as_often(seed):
    """The AP of a draw is that of a test set in which its scenes are written as often as they were drawn."""
    draw = np.random.default_rng(seed)
    scenes = some_scenes(draw, 4)
    _, metric = evaluated(scenes)
    times = np.vstack([np.ones(4, int), draw.multinomial(4, np.full(4, 0.25), 3), (0, 0, 0, 2)])
    drawn = mean_precision(metric.found, times)
    for column, row in zip(drawn.T, times, strict=True):
        again = [scene for scene, often in zip(scenes, row, strict=True) for _ in range(often)]
        figures, _ = evaluated(again)
        assert column == pytest.approx([figures["ap25"], figures["ap50"]])


def test_the_gain_is_paired():
    """Of equal sides it is 0 in every draw; between sides it is that of the figures, within its interval."""
    draw = np.random.default_rng(0)
    first = [some_scenes(draw, 12) for _ in range(2)]
    for ours, theirs in zip(first[1], first[0], strict=True):
        ours.update({name: theirs[name] for name in ("true_boxes", "true_classes")})
    second = [
        [{**scene, "box_classes": draw.permutation(scene["box_classes"])} for scene in run] for run in first
    ]
    dataset = SimpleNamespace(metainfo={"box_classes": ["chair", "table"]})
    sides = []
    for runs in (first, second):
        reports = [json.loads(json.dumps(evaluated(run)[1].details(dataset))) for run in runs]
        sides.append([read_found(report) for report in reports])
    assert all(gain == (0, 0, 0) for gain in paired_gain(sides[0], sides[0]))
    figures = np.array([[list(evaluated(run)[0].values())[:2] for run in runs] for runs in (first, second)])
    gains = paired_gain(*sides)
    assert [gain.mean for gain in gains] == pytest.approx((figures[1] - figures[0]).mean(0))
    assert all(gain.low < gain.mean < gain.high for gain in gains)
    with pytest.raises(ValueError, match="as many seeds, and the same true boxes"):
        paired_gain(sides[0], sides[1][:1])
    with pytest.raises(ValueError, match="does not say which boxes were right"):
        read_found({"ap25": 1.0})


def test_average_precision_by_hand():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    right = np.array([True, False, True, False, True])
    # recalls 1/4, 2/4, 3/4 are reached at precisions 1, 2/3, 3/5; the fourth object is never found
    assert average_precision(right, scores, 4) == pytest.approx((1 + 2 / 3 + 3 / 5) / 4)
    # a precision that rises again counts from below: 1/2, then 2/3 -> 2/3 and 2/3
    assert average_precision(np.array([False, True, True]), scores[:3], 2) == pytest.approx(2 / 3)
    shuffled = np.array([4, 2, 0, 3, 1])
    assert average_precision(right[shuffled], scores[shuffled], 4) == pytest.approx((1 + 2 / 3 + 3 / 5) / 4)
    assert average_precision(np.zeros(0, bool), np.zeros(0), 3) == 0


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_average_precision_beside_that_of_sklearn(right, missed):
    """sklearn takes the precision where it is: never above ours, and the same where it only falls."""
    right = np.array([True, *right])
    scores = -np.arange(len(right), dtype=float)
    count = int(right.sum())
    theirs = average_precision_score(right, scores) * count / (count + missed)
    ours = average_precision(right, scores, count + missed)
    assert ours >= theirs - 1e-12
    precision = (right.cumsum() / np.arange(1, len(right) + 1))[right]
    if (np.diff(precision) <= 0).all():
        assert ours == pytest.approx(theirs)


def test_a_second_box_on_one_object_is_wrong():
    truth = np.array([[0, 0, 0, 1, 1, 1], [5, 0, 0, 1, 1, 1.0]])
    boxes = np.array([[0, 0, 0, 1, 1, 1], [0.1, 0, 0, 1, 1, 1], [5, 0, 0, 1, 1, 1.0], [9, 0, 0, 1, 1, 1]])
    assert hits(boxes, np.array([0.5, 0.9, 0.4, 0.8]), truth, 0.25).tolist() == [False, True, True, False]
    half = np.array([[0, 0, 0.25, 1, 1, 0.5]])
    assert not hits(half, np.ones(1), truth[:1], 0.5).any()  # an overlap of exactly a half is not above it
    assert hits(half, np.ones(1), truth[:1], 0.49).all()
    assert not hits(boxes, np.ones(4), truth[:0], 0.25).any()


def test_suppression_is_within_a_class():
    boxes = np.array([[0, 0, 0, 1, 1, 1], [0.1, 0, 0, 1, 1, 1], [0.2, 0, 0, 1, 1, 1], [3, 0, 0, 1, 1, 1.0]])
    scores, classes = np.array([0.5, 0.9, 0.7, 0.1]), np.array([2, 2, 1, 2])
    assert suppress(boxes, scores, classes, 0.25).tolist() == [1, 2, 3]
    assert suppress(boxes, scores, classes, 0.9).tolist() == [1, 2, 0, 3]
    points = np.array([[0.5, 0, 0], [0.51, 0, 0], [3, 0.2, -0.5]])
    assert points_inside(points, boxes[[0, 3]]).tolist() == [1, 1]


# Losses
