"""Relations of shapes, and what the classifier says of images: cases by hand, gradients, the queue."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from pointmcd.models.heads import (
    ClassificationHead,
    ClassifierEnhancementHead,
    FeatureEnhancementHead,
    RelationalDistillationHead,
    SimilarityDistillationHead,
)
from pointmcd.models.heads.relations import angle_cosines, relative_distances
from pointmcd.models.losses import earth_mover_distance
from pointmcd.registry import MODELS


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def test_distances_and_angles_of_a_triangle():
    """3, 4, 5: distances in units of their mean 4, and cosines 0, 3/5 and 4/5."""
    triangle = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]], dtype=torch.double)
    distances = relative_distances(triangle)
    torch.testing.assert_close(distances, torch.tensor([3.0, 4.0, 5.0], dtype=torch.double) / 4)
    cosines = angle_cosines(triangle)
    torch.testing.assert_close(cosines, torch.tensor([0.0, 0.6, 0.8], dtype=torch.double))


def test_relational_losses_by_hand():
    """A teacher with all sides alike against the triangle 3, 4, 5."""
    triangle = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    alike = torch.eye(3)
    head = RelationalDistillationHead(distance_weight=2.0, angle_weight=4.0)
    losses = head.loss({"global_feats": triangle}, {"descriptor": alike})
    distance = (0.25**2 + 0 + 0.25**2) / 2 / 3  # Huber: half the square below 1
    angle = (0.5**2 + 0.1**2 + 0.3**2) / 2 / 3
    assert losses["loss_distance"].item() == pytest.approx(2 * distance)
    assert losses["loss_angle"].item() == pytest.approx(4 * angle)
    assert RelationalDistillationHead(1.0, 0.0).loss(
        {"global_feats": triangle}, {"descriptor": alike}
    ).keys() == {"loss_distance"}


def test_relations_do_not_change_with_scale_turn_and_shift():
    feats, target = torch.randn(6, 5).double(), torch.randn(6, 4).double()
    turn = torch.linalg.qr(torch.randn(5, 5).double())[0]
    head = RelationalDistillationHead()
    before = head.loss({"global_feats": feats}, {"descriptor": target})
    after = head.loss({"global_feats": 3 * feats @ turn + 1}, {"descriptor": target})
    torch.testing.assert_close(after, before)
    same = head.loss({"global_feats": 2 * target}, {"descriptor": target})
    assert all(value.item() == pytest.approx(0, abs=1e-12) for value in same.values())


@pytest.mark.parametrize("relation", [relative_distances, angle_cosines])
def test_gradients_of_relations(relation):
    assert torch.autograd.gradcheck(relation, torch.randn(4, 3).double().requires_grad_())


def test_few_shapes_and_equal_ones():
    """A batch of one or two has no triangles; equal shapes have no direction. Neither makes a NaN."""
    head = RelationalDistillationHead()
    for feats in (torch.ones(1, 3), torch.ones(2, 3), torch.ones(4, 3)):
        feats.requires_grad_()
        losses = head.loss({"global_feats": feats}, {"descriptor": torch.randn(len(feats), 4)})
        sum(losses.values()).backward()
        assert all(value.isfinite() for value in losses.values())
        assert feats.grad.isfinite().all()


def similarity(queue=4, **options):
    head = SimilarityDistillationHead(2, 2, queue=queue, projector="linear", **options).double()
    with torch.no_grad():
        head.align.weight.copy_(torch.eye(2))
        head.align.bias.zero_()
    return head


def test_similarities_by_hand():
    """The teacher sees two unlike shapes, the student cannot tell them apart."""
    head = similarity(temperature=0.5, loss_weight=3.0)
    student = {"global_feats": torch.tensor([[2.0, 0.0], [5.0, 0.0]], dtype=torch.double)}
    teacher = {"descriptor": torch.tensor([[4.0, 0.0], [0.0, 1.0]], dtype=torch.double)}
    # cosines / 0.5: the teacher's rows (2, 0) and (0, 2), the student's (2, 0) twice
    likely = math.exp(2) / (math.exp(2) + 1)
    divergence = likely * math.log(likely / (1 - likely)) + (1 - likely) * math.log((1 - likely) / likely)
    loss = head.loss(student, teacher)["loss_similarity"]
    assert loss.item() == pytest.approx(3 * divergence / 2)


def test_the_queue_keeps_the_newest_and_only_in_training():
    head = similarity(queue=5)
    student = {"global_feats": torch.randn(2, 2).double()}
    batches = [F.normalize(torch.randn(2, 2).double(), dim=1) for _ in range(4)]
    for number, rows in enumerate(batches):
        head.loss(student, {"descriptor": 7 * rows})
        assert int(head.seen) == min(2 * number + 2, 5)
    torch.testing.assert_close(head.queue, torch.cat([batches[3], batches[2], batches[1][:1]]))
    before = head.queue.clone()
    head.eval().loss(student, {"descriptor": batches[0]})
    assert torch.equal(head.queue, before)
    large = torch.randn(9, 2).double()
    head.train().loss({"global_feats": torch.randn(9, 2).double()}, {"descriptor": large})
    torch.testing.assert_close(head.queue, F.normalize(large, dim=1)[:5])
    again = similarity(queue=5)
    again.load_state_dict(head.state_dict())
    assert torch.equal(again.queue, head.queue)
    assert int(again.seen) == 5


def test_the_queue_is_compared_with():
    """What a shape was like before counts: the same batch has another loss once others were seen."""
    head, student = similarity(queue=8), {"global_feats": torch.randn(3, 2).double()}
    teacher = {"descriptor": torch.randn(3, 2).double()}
    alone = head.eval().loss(student, teacher)["loss_similarity"]
    others = torch.randn(5, 2).double()
    head.train().loss({"global_feats": torch.randn(5, 2).double()}, {"descriptor": others})
    after = head.eval().loss(student, teacher)["loss_similarity"]
    known = torch.cat([F.normalize(others, dim=1), F.normalize(teacher["descriptor"], dim=1)])
    said = (F.normalize(student["global_feats"], dim=1) @ known.T / 0.07).log_softmax(1)
    wanted = (F.normalize(teacher["descriptor"], dim=1) @ known.T / 0.07).softmax(1)
    torch.testing.assert_close(after, 0.1 * (wanted * (wanted.log() - said)).sum(1).mean())
    assert not torch.isclose(alone, after)


def test_gradient_of_similarities():
    head = similarity().eval()
    teacher = {"descriptor": torch.randn(3, 2).double()}
    feats = torch.randn(3, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda feats: head.loss({"global_feats": feats}, teacher)["loss_similarity"], feats
    )


def test_the_classifier_is_shown_the_teachers_descriptor():
    """By hand: the image speaks for the first class with log 3 to 1, the points say both alike."""
    task_head = ClassificationHead(3, 2, channels=2).double()
    head = ClassifierEnhancementHead(3, 2, task_head, loss_weight=2.0).double().eval()
    with torch.no_grad():
        task_head.classifier.weight.copy_(torch.eye(2))
        head.align.linear.weight.copy_(torch.eye(2))
        head.align.norm.eps = 0.0
    teacher = {"descriptor": torch.tensor([[math.log(3), -5.0]], dtype=torch.double)}
    loss = head.loss({"logits": torch.zeros(1, 2).double()}, teacher)["loss_classifier"]
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)  # the ReLU makes 0 of -5
    assert loss.item() == pytest.approx(2 * expected)


def test_gradients_of_both_sides_and_weights_that_are_not_its_own():
    task_head = ClassificationHead(3, 4, channels=5).double()
    head = ClassifierEnhancementHead(3, 6, task_head).double().eval()
    assert {key.split(".")[0] for key in head.state_dict()} == {"align"}
    teacher = {"descriptor": torch.randn(3, 6).double()}

    def loss(logits, weight):
        task_head.classifier._parameters["weight"] = weight
        return head.loss({"logits": logits}, teacher)["loss_classifier"]

    inputs = torch.randn(3, 4).double().requires_grad_(), torch.randn(4, 5).double().requires_grad_()
    assert torch.autograd.gradcheck(loss, inputs)


def enhancement(points=4):
    head = FeatureEnhancementHead(3, 5, num_points=points, channels=6, loss_weight=2.0, generator_weight=3.0)
    teacher = {"descriptor": torch.randn(2, 5).double()}
    return head.double().eval(), teacher, {"points": torch.randn(2, 7, 3).double()}


def test_one_generator_makes_points_of_both():
    """Its own distance is from the first points of the shape, wherever augmentation has put them."""
    head, teacher, batch = enhancement()
    feats = torch.randn(2, 3).double()
    made = head.generator(teacher["descriptor"])
    of_points = head.generator(head.align(feats))
    cloud = batch["points"][:, :4]
    cloud = cloud - cloud.mean(1, keepdim=True)
    cloud = cloud / cloud.norm(dim=2).amax(1)[:, None, None]
    losses = head.loss({"global_feats": feats}, teacher, batch)
    torch.testing.assert_close(losses["loss_generator"], 3 * earth_mover_distance(made, cloud))
    torch.testing.assert_close(losses["loss_feature"], 2 * earth_mover_distance(of_points, made))
    moved = {"points": 2 * batch["points"] + 1}
    torch.testing.assert_close(head.loss({"global_feats": feats}, teacher, moved), losses)
    same = {"points": torch.ones(2, 7, 3).double()}
    assert head.loss({"global_feats": feats}, teacher, same)["loss_generator"].isfinite()
    with pytest.raises(ValueError, match="makes 8 points, but the shapes have 7"):
        FeatureEnhancementHead(3, 5, num_points=8).loss({"global_feats": feats}, teacher, batch)


def test_the_student_moves_its_feature_and_not_the_generator():
    head, teacher, batch = enhancement()
    feats = torch.randn(2, 3).double().requires_grad_()

    def loss(feats):
        return head.loss({"global_feats": feats}, teacher, batch)["loss_feature"]

    assert torch.autograd.gradcheck(loss, feats)
    loss(feats).backward()
    assert all(parameter.grad is None for parameter in head.generator.parameters())
    assert all(parameter.grad is not None for parameter in head.align.parameters())
    head.loss({"global_feats": feats.detach()}, teacher, batch)["loss_generator"].backward()
    assert all(parameter.grad is not None for parameter in head.generator.parameters())


def test_a_copied_model_shows_its_own_classifier():
    """EMA copies the whole model."""
    teacher = {"type": "MultiViewTeacher", "trunk": "test_resnet", "num_classes": 4, "channels": 16}
    model = MODELS.build(
        {
            "type": "PointMCD",
            "backbone": {"type": "PointNet", "out_channels": 16},
            "head": {"type": "ClassificationHead", "num_classes": 4, "channels": 8},
            "neck": None,
            "distill": [{"type": "ClassifierEnhancementHead"}],
            "teacher": teacher,
        }
    )
    copied = copy.deepcopy(model)
    assert model.distill[0]._task_head[0] is model.head
    assert copied.distill[0]._task_head[0] is copied.head
    assert copied.head is not model.head


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="the teacher has no descriptor, but logits"):
        RelationalDistillationHead().loss({"global_feats": torch.randn(3, 2)}, {"logits": torch.randn(3, 2)})
    with pytest.raises(ValueError, match="needs a student with a ClassificationHead"):
        ClassifierEnhancementHead(3, 2, None)
    with pytest.raises(ValueError, match="above 0, not 0"):
        SimilarityDistillationHead(3, 2, queue=0)
