"""Heads: what their losses are, what they predict, and what they refuse."""

import pytest
import torch
from torch.nn import functional as F

from pointmcd.models.heads import (
    ClassificationHead,
    DescriptorDistillationHead,
    LogitDistillationHead,
    ViewDistillationHead,
)
from pointmcd.models.losses import soft_kl


@pytest.fixture
def said():
    torch.manual_seed(0)
    return {
        "view_descriptors": torch.rand(4, 3, 6),
        "descriptor": torch.rand(4, 6),
        "logits": torch.randn(4, 5),
    }


@pytest.fixture
def features():
    torch.manual_seed(1)
    return {"view_feats": torch.rand(4, 3, 8), "global_feats": torch.rand(4, 8), "logits": torch.randn(4, 5)}


def test_view_loss_is_the_official_one(features, said):
    """Linear, batch norm over all B * V rows, ReLU, mean L1: in plain torch."""
    head = ViewDistillationHead(8, 6, loss_weight=2.0)
    rows = features["view_feats"].flatten(0, 1) @ head.align.linear.weight.T
    aligned = F.relu(F.batch_norm(rows, None, None, training=True)).view(4, 3, 6)
    expected = 2 * (aligned - said["view_descriptors"]).abs().mean()
    torch.testing.assert_close(head.loss(features, said)["loss_view"], expected)


def test_descriptor_and_logit_losses(features, said):
    head = DescriptorDistillationHead(8, 6, distance="mse").eval()
    expected = F.mse_loss(head.align(features["global_feats"]), said["descriptor"])
    torch.testing.assert_close(head.loss(features, said)["loss_descriptor"], expected)
    logit_head = LogitDistillationHead(8, 6, temperature=3.0, loss_weight=0.5)
    expected = 0.5 * soft_kl(features["logits"], said["logits"], 3.0)
    torch.testing.assert_close(logit_head.loss(features, said)["loss_logit"], expected)


def test_views_that_do_not_match_are_named(features, said):
    said["view_descriptors"] = torch.rand(4, 2, 6)
    with pytest.raises(ValueError, match=r"\(4, 3, 6\).*view_descriptors \(4, 2, 6\)"):
        ViewDistillationHead(8, 6).loss(features, said)


def test_a_teacher_without_logits_is_named(features, said):
    del said["logits"]
    with pytest.raises(ValueError, match="this teacher has no logits"):
        LogitDistillationHead(8, 6).loss(features, said)


def test_predictions_are_probabilities(features):
    head = ClassificationHead(8, 5, channels=7).eval()
    batch = {"index": torch.tensor([7, 3, 0, 1]), "label": torch.tensor([0, 1, 2, 3])}
    rows = head.predict({**features, **head(features)}, batch)
    assert [row["index"] for row in rows] == [7, 3, 0, 1]
    for row in rows:
        torch.testing.assert_close(row["scores"].sum(), torch.tensor(1.0))
        assert row["pred"] == int(row["scores"].argmax())
