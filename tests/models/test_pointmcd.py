"""PointMCD as a whole: what is in its checkpoint, what the teacher does, invariance."""

import numpy as np
import pytest
import torch

from pointmcd.datasets.teacher_cache import TeacherCache
from pointmcd.models.backbones import PointNet
from pointmcd.registry import MODELS

HEAD = {"type": "ClassificationHead", "num_classes": 4}
ONLINE = {"type": "MultiViewTeacher", "trunk": "test_resnet", "num_classes": 4, "channels": 16}


class Plain(PointNet):
    """A backbone without local features."""

    def __init__(self):
        super().__init__()
        self.local_channels = None


def build(teacher=ONLINE, **more):
    torch.manual_seed(0)
    return MODELS.build(
        {
            "type": "PointMCD",
            "backbone": {"type": "PointNet"},
            "head": HEAD,
            "neck": {"type": "VAFP", "num_views": 3},
            "distill": [{"type": "ViewDistillationHead"}],
            "teacher": teacher,
            **more,
        }
    )


@pytest.fixture
def batch():
    torch.manual_seed(1)
    return {
        "points": torch.randn(4, 60, 3),
        "visibility": torch.randint(0, 8, (4, 60), dtype=torch.int32),
        "label": torch.arange(4),
        "views": torch.randint(0, 256, (4, 3, 3, 32, 32), dtype=torch.uint8),
    }


def test_the_frozen_teacher_is_no_part_of_the_checkpoint(batch):
    model = build().train()
    assert not model.teacher.training
    before = {key: value.clone() for key, value in model.teacher.state_dict().items()}
    sum(model(mode="loss", **batch).values()).backward()
    for parameter in model.teacher.parameters():
        assert parameter.grad is None
    for key, value in model.teacher.state_dict().items():
        assert torch.equal(value, before[key]), key
    state = model.state_dict()
    assert {key.partition(".")[0] for key in state} == {"backbone", "head", "distill"}
    build().load_state_dict(state, strict=True)
    with pytest.raises(RuntimeError, match="Missing key"):
        build().load_state_dict(
            {key: value for key, value in state.items() if "head" not in key}, strict=True
        )


def test_an_online_teacher_says_what_a_cached_one_would(batch):
    model = build()
    said = model.teacher.describe(batch)
    assert said["view_descriptors"].shape == (4, 3, 16)
    losses = model(mode="loss", **batch)
    features = build().training_features(batch["points"], batch["visibility"])
    expected = model.distill[0].train().loss(features, said)["loss_view"]
    torch.testing.assert_close(losses["loss_view"], expected)


def test_torch_compile_gives_the_same_gradients(batch):
    """By inductor itself, which writes C++ for what lies between the kernels."""
    torch._dynamo.reset()
    backbone = {"type": "DGCNN", "k": 4, "channels": (8,), "out_channels": 16}
    plain, compiled = build(backbone=backbone), build(backbone=backbone)
    compiled.training_features = torch.compile(compiled.training_features, fullgraph=True)
    results = []
    for model in (plain, compiled):
        views = model.training_features(batch["points"], batch["visibility"])["view_feats"]
        loss = views.square().mean()
        results.append([loss, *torch.autograd.grad(loss, list(model.backbone.parameters()))])
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-6)


def test_the_student_alone_is_a_point_model(batch):
    model = build().eval()
    student = MODELS.build({"type": "PointModel", "backbone": {"type": "PointNet"}, "head": HEAD}).eval()
    keys = {key: value for key, value in model.state_dict().items() if not key.startswith("distill")}
    student.load_state_dict(keys, strict=True)
    points_only = {"points": batch["points"]}
    assert torch.equal(student(**points_only)["logits"], model(**points_only)["logits"])


@pytest.mark.parametrize("backbone", ["PointNet", "DGCNN"])
def test_a_joint_permutation_of_points_and_masks_changes_nothing(batch, backbone):
    model = build(backbone={"type": backbone}).double().eval()
    order = torch.randperm(60)
    points = batch["points"].double()
    first = model.training_features(points, batch["visibility"])
    second = model.training_features(points[:, order], batch["visibility"][:, order])
    for key in ("view_feats", "global_feats", "logits"):
        torch.testing.assert_close(first[key], second[key], rtol=1e-9, atol=1e-9)


def test_all_distillation_heads_together(batch):
    heads = ["ViewDistillationHead", "DescriptorDistillationHead", "LogitDistillationHead"]
    model = build(distill=[{"type": name} for name in heads])
    losses = model(mode="loss", **batch)
    assert set(losses) == {"loss_task", "loss_tnet", "loss_view", "loss_descriptor", "loss_logit"}


def test_a_classifier_learns_from_points_too(parts_set):
    teacher = {"type": "CachedTeacher", "data_root": str(parts_set), "name": "frozen"}
    said = TeacherCache(parts_set, "frozen").split("train").rows(np.arange(4), 60)
    batch = {"points": torch.randn(4, 60, 3), "label": torch.arange(4), "teacher": said}
    own = {"neck": None, "distill": [{"type": "PointDistillationHead"}]}
    model = build(teacher, backbone={"type": "DGCNN", "k": 4}, **own)
    losses = model(mode="loss", **batch)
    assert losses.keys() == {"loss_task", "loss_point"}
    features = model.student_features(batch["points"])
    aligned = model.distill[0].align(features["local_feats"])
    expected = 1 - torch.cosine_similarity(aligned, said["point_descriptors"], -1).mean()
    torch.testing.assert_close(losses["loss_point"], expected, rtol=1e-4, atol=1e-4)
    build(teacher, backbone={"type": "PointNet2"}, **own)
    with pytest.raises(ValueError, match="needs local features of all points, which Plain does not"):
        build(teacher, backbone={"type": Plain}, **own)
    wrong = build(teacher, **own)
    wrong.backbone.local_channels = 7
    with pytest.raises(
        ValueError, match=r"PointNet\.local_feats returns 1024 channels, but its local_channels"
    ):
        wrong(mode="loss", **batch)
    with pytest.raises(ValueError, match="needs a CachedTeacher"):
        build(**own)


def test_without_a_head_the_teacher_is_all_there_is_to_learn_from(batch):
    model = build(head=None)
    assert {key.partition(".")[0] for key in model.state_dict()} == {"backbone", "distill"}
    del batch["label"]
    losses = model(mode="loss", **batch)
    assert set(losses) == {"loss_tnet", "loss_view"}
    sum(losses.values()).backward()
    assert all(p.grad is not None for name, p in model.named_parameters() if "teacher" not in name)
    features = model.eval()(points=batch["points"])
    assert features["global_feats"].shape == (4, 1024)
    assert "logits" not in features
    with pytest.raises(ValueError, match="without a head predicts nothing"):
        model(mode="predict", points=batch["points"])


def test_an_unknown_mode_is_named(batch):
    with pytest.raises(ValueError, match="mode is 'train'"):
        build()(mode="train", **batch)


class Loss(torch.nn.Module):
    """A distillation head; the cases below change one thing of it."""

    name = "loss_own"

    def loss(self, features, teacher):
        return {self.name: features["global_feats"].mean()}


class TakesWidths(Loss):
    def __init__(self, in_channels, teacher_channels, scale=1.0):
        super().__init__()
        self.widths = in_channels, teacher_channels


class PassesWidthsOn(TakesWidths):
    def __init__(self, **kwargs):
        super().__init__(scale=2.0, **kwargs)


class TakesOneWidth(Loss):
    def __init__(self, teacher_channels):
        super().__init__()
        self.widths = (teacher_channels,)


class NoLoss(torch.nn.Module):
    pass


class TensorLoss(Loss):
    def loss(self, features, teacher):
        return features["global_feats"].mean()


class NotSummed(Loss):
    name = "own"


class Taken(Loss):
    name = "loss_task"


def test_a_loss_is_given_the_widths_that_its_constructor_names(own_types, batch):
    model = build(distill=[own_types(kind) for kind in (Loss, TakesWidths, PassesWidthsOn, TakesOneWidth)])
    student, teacher = model.backbone.out_channels, 16
    assert [getattr(head, "widths", None) for head in model.distill] == [
        None,
        (student, teacher),
        (student, teacher),
        (teacher,),
    ]


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ([NoLoss], r"NoLoss is not a distillation head: it has no loss\(features, teacher\)"),
        ([TensorLoss], "TensorLoss returns a Tensor as its loss, must be a dict"),
        ([NotSummed], "NotSummed calls a loss 'own', but only terms with 'loss' in their names are summed"),
        ([Taken], "Taken calls a loss 'loss_task', as another part of the model does"),
        ([Loss, Loss], "Loss calls a loss 'loss_own', as another part of the model does"),
    ],
    ids=lambda value: "-".join(kind.__name__ for kind in value) if isinstance(value, list) else "",
)
def test_a_loss_that_would_not_reach_the_student_is_refused(kinds, message, own_types, batch):
    config = {kind: own_types(kind) for kind in set(kinds)}
    with pytest.raises(ValueError, match=message):
        build(distill=[config[kind] for kind in kinds]).loss(batch)


class Asks(Loss):
    def loss(self, features, teacher):
        return {"loss_asks": teacher["point_descriptors"].sum()}


def test_a_loss_that_asks_for_what_is_not_there_is_named(own_types, batch):
    model = build(distill=[own_types(Asks)])
    message = r"^Asks asks for 'point_descriptors', which is not there: .*view_feats.*; .* gives .*descr"
    with pytest.raises(ValueError, match=message):
        model(mode="loss", **batch)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (lambda batch: None, "returns a NoneType, needs the batch"),
        (lambda batch: {"label": batch["label"]}, "returns a dict without points, needs the batch"),
        (
            lambda batch: {**batch, "points": batch["points"][:, ::2]},
            "leaves 30 points of a shape, but 60 rows of visibility",
        ),
        (
            lambda batch: {**batch, "teacher": {"point_logits": torch.zeros(4, 30, 2)}},
            "leaves 60 points of a shape, but 30 rows of point_logits",
        ),
    ],
    ids=["None", "no points", "masks stay", "teacher"],
)
def test_a_transform_that_breaks_the_batch_is_refused(transform, message, batch):
    preprocessor = MODELS.build({"type": "PointPreprocessor"})
    preprocessor.transforms = [transform]
    with pytest.raises(ValueError, match=f"^the transform function {message}"):
        preprocessor(batch, training=True)
    preprocessor.transforms = [
        lambda batch: {**batch, **{name: batch[name][:, ::2] for name in ("points", "visibility")}}
    ]
    assert preprocessor(batch, training=True)["points"].shape == (4, 30, 3)
