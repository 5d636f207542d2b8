"""Heads: what their losses are, what they predict, and what they refuse."""

import pytest
import torch
from torch.nn import functional as F

from pointmcd.models.heads import (
    ClassificationHead,
    DescriptorDistillationHead,
    LogitDistillationHead,
    PointDistillationHead,
    PointLogitDistillationHead,
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
    logit_head = LogitDistillationHead(temperature=3.0, loss_weight=0.5)
    expected = 0.5 * soft_kl(features["logits"], said["logits"], 3.0)
    torch.testing.assert_close(logit_head.loss(features, said)["loss_logit"], expected)


def test_views_that_do_not_match_are_named(features, said):
    said["view_descriptors"] = torch.rand(4, 2, 6)
    with pytest.raises(ValueError, match=r"\(4, 3, 6\).*view_descriptors \(4, 2, 6\)"):
        ViewDistillationHead(8, 6).loss(features, said)


def test_a_teacher_without_logits_is_named(features, said):
    del said["logits"]
    with pytest.raises(ValueError, match="this teacher has no logits"):
        LogitDistillationHead().loss(features, said)


def test_predictions_are_probabilities(features):
    head = ClassificationHead(8, 5, channels=7).eval()
    batch = {"index": torch.tensor([7, 3, 0, 1]), "label": torch.tensor([0, 1, 2, 3])}
    rows = head.predict({**features, **head(features)}, batch)
    assert [row["index"] for row in rows] == [7, 3, 0, 1]
    for row in rows:
        torch.testing.assert_close(row["scores"].sum(), torch.tensor(1.0))
        assert row["pred"] == int(row["scores"].argmax())


def test_shapes_that_the_teacher_may_not_speak_of(features, said):
    head = LogitDistillationHead()
    said["has_logits"] = torch.tensor([1.0, 0.0, 1.0, 0.0])
    features["logits"].requires_grad_()
    loss = head.loss(features, said)["loss_logit"]
    torch.testing.assert_close(loss, 0.1 * soft_kl(features["logits"][::2], said["logits"][::2]))
    sharper = LogitDistillationHead(sharpening=2.0).loss(features, said)["loss_logit"]
    torch.testing.assert_close(sharper, 0.1 * soft_kl(features["logits"][::2], 2 * said["logits"][::2]))
    loss.backward()
    assert (features["logits"].grad[1::2] == 0).all()


@pytest.mark.parametrize("projector", ["relu", "linear", "mlp"])
def test_projectors_reach_what_they_can(projector):
    """Standardised targets have both signs, which a ReLU cannot say."""
    torch.manual_seed(0)
    feats, target = torch.rand(64, 1, 8), torch.randn(64, 1, 6)
    target = feats @ torch.randn(8, 6)
    target = target - target.mean(0)
    head = ViewDistillationHead(8, 6, distance="cosine", projector=projector)
    optimizer = torch.optim.Adam(head.parameters(), 0.03)
    for _ in range(200):
        optimizer.zero_grad()
        loss = head.loss({"view_feats": feats}, {"view_descriptors": target})["loss_view"]
        loss.backward()
        optimizer.step()
    assert (loss > 0.1) if projector == "relu" else (loss < 0.02)


def test_heads_refuse_what_is_none():
    with pytest.raises(ValueError, match="projector is 'none'; choose relu, linear, mlp"):
        ViewDistillationHead(8, 6, projector="none")
    with pytest.raises(ValueError, match="temperature is 0"):
        LogitDistillationHead(temperature=0)


@pytest.fixture
def of_points():
    """Features of 3 shapes of 6 points, and what a teacher says of these; of two points it says nothing."""
    torch.manual_seed(2)
    features = {"local_feats": torch.randn(3, 6, 8), "logits": torch.randn(3, 6, 5)}
    said = {"point_descriptors": torch.randn(3, 6, 4), "point_logits": torch.randn(3, 6, 5)}
    for value in said.values():
        value[0, 2] = value[1, 5] = 0
    return features, said


def seen_rows(value):
    seen = torch.ones(3, 6, dtype=torch.bool)
    seen[0, 2] = seen[1, 5] = False
    return value[seen]


def test_points_that_no_view_sees_count_for_nothing(of_points):
    features, said = of_points
    features["local_feats"].requires_grad_()
    head = PointDistillationHead(8, 4, loss_weight=0.5)
    loss = head.loss(features, said)["loss_point"]
    aligned = F.linear(features["local_feats"], head.align.weight, head.align.bias)
    cosine = F.cosine_similarity(seen_rows(aligned), seen_rows(said["point_descriptors"]), dim=-1)
    torch.testing.assert_close(loss, 0.5 * (1 - cosine.mean()))
    loss.backward()
    moved = features["local_feats"].grad.abs().sum(-1) > 0
    assert torch.equal(moved, (said["point_descriptors"] != 0).any(-1))
    said["point_descriptors"].zero_()
    assert head.loss(features, said)["loss_point"] == 0


def test_gradients_of_point_losses(of_points):
    features, said = ({name: value.double() for name, value in one.items()} for one in of_points)
    for distance in ("cosine", "smooth_l1"):
        head = PointDistillationHead(8, 4, distance).double()
        assert torch.autograd.gradcheck(
            lambda x, head=head: head.loss({"local_feats": x}, said)["loss_point"],
            features["local_feats"].requires_grad_(),
        )
    head = PointLogitDistillationHead(temperature=2.0)
    said["has_logits"] = torch.tensor([1.0, 1.0, 0.0])
    assert torch.autograd.gradcheck(
        lambda x: head.loss({"logits": x}, said)["loss_point_logit"], features["logits"].requires_grad_()
    )
    kept = torch.zeros(3, 6, dtype=torch.bool)
    kept[:2] = (said["point_logits"][:2] != 0).any(-1)
    expected = 0.1 * soft_kl(features["logits"][kept], said["point_logits"][kept], 2.0)
    torch.testing.assert_close(head.loss(features, said)["loss_point_logit"], expected)
