"""Votes against the mean of single passes."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pointmcd.datasets.prepared_shapes import PreparedShapes, whole_batch
from pointmcd.evaluation.metrics import ClassificationMetric, PartSegmentationMetric
from pointmcd.evaluation.voting import vote
from pointmcd.registry import MODELS

CLASS_PARTS = [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]  # chair, lamp, table of the built-in shapes


def student(head, low, high, **scale):
    transforms = [{"type": "RandomShift"}, {"type": "RandomScale", "low": low, "high": high, **scale}]
    torch.manual_seed(0)
    config = {
        "type": "PointModel",
        "backbone": {"type": "PointNet"},
        "head": head,
        "data_preprocessor": {"type": "PointPreprocessor", "transforms": transforms},
    }
    model = MODELS.build(config)
    for _ in range(20):  # running statistics that tell shapes apart
        model.student_features(torch.rand(6, 100, 3) - 0.5, torch.arange(6) % 3)
    return model.eval()


def classifier(low=0.5, high=2.0, **scale):
    return student({"type": "ClassificationHead", "num_classes": 3}, low, high, **scale)


def segmenter(low=0.5, high=2.0):
    return student({"type": "PartSegmentationHead", "num_classes": 3, "num_parts": 10}, low, high)


def loader(root, batch_size=6):
    dataset = PreparedShapes(str(root), "test", num_points=100, parts=True)
    return DataLoader(dataset, batch_size, collate_fn=whole_batch)


def by_hand(model, batch, votes, seed, width=3):
    """Mean probabilities over single shapes and single votes, the scales as documented."""
    mean = []
    for row, index in enumerate(batch["index"].tolist()):
        factors = np.random.default_rng((seed, index)).uniform(0.5, 2.0, (votes, width))
        passes = []
        for factor in torch.tensor(factors, dtype=torch.float32):
            one = {"points": batch["points"][row : row + 1] * factor, "label": batch["label"][row : row + 1]}
            with torch.inference_mode():
                passes.append(model(**one)["logits"].softmax(-1)[0])
        mean.append(torch.stack(passes).mean(0))
    return mean


@pytest.mark.parametrize("anisotropic", [True, False])
def test_classification(parts_set, anisotropic):
    model, (batch,) = classifier(anisotropic=anisotropic), loader(parts_set)
    metric = ClassificationMetric(3)
    means = by_hand(model, batch, 3, 7, width=3 if anisotropic else 1)
    expected = np.mean([int(mean.argmax()) == int(k) for mean, k in zip(means, batch["label"], strict=True)])
    found = vote(model, loader(parts_set), metric, votes=3, seed=7)
    assert found["overall_accuracy"] == pytest.approx(100 * expected)
    assert len(metric.labels) == 0  # left as it was


def test_part_segmentation(parts_set):
    model, (batch,) = segmenter(), loader(parts_set)
    metric = PartSegmentationMetric(CLASS_PARTS)
    rows = [
        {"label": int(batch["label"][row]), "parts": batch["parts"][row], "part_scores": mean}
        for row, mean in enumerate(by_hand(model, batch, 3, 0))
    ]
    metric.process(None, rows)
    expected = metric.evaluate(6)
    assert len(np.unique(np.concatenate(metric.predictions))) > 5
    for batch_size in (6, 4, 1):
        found = vote(model, loader(parts_set, batch_size), metric, votes=3)
        assert found == pytest.approx(expected, abs=0.5)  # a point of two equal scores may fall either way
    assert found["instance_miou"] != vote(model, loader(parts_set), metric, votes=3, seed=1)["instance_miou"]


def test_votes_of_scale_one_are_the_plain_prediction(parts_set):
    model, (batch,) = segmenter(1.0, 1.0), loader(parts_set)
    metric = PartSegmentationMetric(CLASS_PARTS)
    with torch.inference_mode():
        metric.process(None, model(mode="predict", **batch))
    assert vote(model, loader(parts_set), metric, votes=2) == pytest.approx(metric.evaluate(6), abs=0.5)


def test_what_cannot_vote_is_named(parts_set):
    metric = ClassificationMetric(3)
    with pytest.raises(ValueError, match="votes is 0"):
        vote(classifier(), loader(parts_set), metric, votes=0)
    unscaled = classifier()
    unscaled.data_preprocessor.transforms.clear()
    with pytest.raises(ValueError, match="trained without RandomScale"):
        vote(unscaled, loader(parts_set), metric, votes=2)
    headless = MODELS.build({"type": "PointModel", "backbone": {"type": "PointNet"}})
    with pytest.raises(ValueError, match="only a student with a task head"):
        vote(headless, loader(parts_set), metric, votes=2)
