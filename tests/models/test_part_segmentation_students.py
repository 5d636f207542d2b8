"""Part segmentation: the decoder against its tiled form, and the models that it is part of."""

import pytest
import torch

from pointmcd.models import PartSegmentationHead
from pointmcd.models.backbones import PointNet
from pointmcd.models.losses import smoothed_cross_entropy
from pointmcd.registry import MODELS

CLASSES, PARTS = 3, 7
OFFICIAL = {
    "dgcnn": {},
    "pointnet": {"category_channels": 0, "channels": (12, 8, 8), "dropout": 0.0, "negative_slope": 0.0},
    "pointnet2": {"use_global": False, "category_channels": 0, "channels": (8,), "negative_slope": 0.0},
}
STUDENTS = {
    "dgcnn": {"type": "DGCNNSeg", "k": 6},
    "pointnet": {"type": "PointNet", "tnet_reg_weight": 0},
    "pointnet2": {"type": "PointNet2Seg", "num_points": (24, 8)},
    "pointnet2_msg": {"type": "PointNet2SegMSG", "num_points": (24, 8)},
    "pointnext": {"type": "PointNeXtSeg", "width": 8, "k": 8},
    "curvenet": {
        "type": "CurveNetSeg",
        "k": 4,
        "curves": ((8, 3), None, None, None),
        "strides": (1, 2, 2, 4),
        "radii": (0.1, 0.1, 0.1, 0.1),
    },
    "point_transformer": {
        "type": "PointTransformerSeg",
        "size": "tiny",
        "depth": 3,
        "num_patches": 8,
        "patch_size": 6,
    },
    "dgcnn_one_layer": {"type": "DGCNN", "k": 6},
}


def head(**options):
    torch.manual_seed(0)
    sizes = {"in_channels": 10, "local_channels": 5, "num_classes": CLASSES, "num_parts": PARTS}
    return PartSegmentationHead(**sizes, **options).double()


@pytest.fixture
def features():
    torch.manual_seed(1)
    return {
        "local_feats": torch.randn(4, 9, 5, dtype=torch.double),
        "global_feats": torch.randn(4, 10, dtype=torch.double),
    }


@pytest.fixture
def batch():
    torch.manual_seed(2)
    return {
        "index": torch.arange(4) + 5,
        "points": torch.rand(4, 40, 3, dtype=torch.double) * 2 - 1,
        "visibility": torch.randint(0, 8, (4, 40), dtype=torch.int32),
        "label": torch.tensor([2, 0, 1, 2]),
        "parts": torch.randint(0, PARTS, (4, 40)),
        "teacher": {"view_descriptors": torch.rand(4, 3, 16, dtype=torch.double)},
    }


@pytest.mark.parametrize("student", OFFICIAL)
@pytest.mark.parametrize("training", [True, False])
def test_the_split_first_layer_is_the_tiled_one(student, training, features):
    """Concatenate everything for each point, then a plain MLP."""
    decoder, twin = (head(**{**OFFICIAL[student], "dropout": 0.0}).train(training) for _ in range(2))
    label = torch.tensor([2, 0, 1, 2])
    category = twin.lift(torch.eye(CLASSES, dtype=torch.double)[label])
    shared = torch.cat([features["global_feats"], category], -1) if twin.use_global else category
    x = torch.cat([features["local_feats"], shared.unsqueeze(1).expand(-1, 9, -1)], -1)
    expected = twin.classifier(twin.rest(twin.first(x)))
    logits = decoder(features, label)["logits"]
    assert logits.shape == (4, 9, PARTS)
    torch.testing.assert_close(logits, expected)
    target = torch.randn_like(logits)
    ours, theirs = (
        torch.autograd.grad((y * target).sum(), list(module.parameters()))
        for y, module in ((logits, decoder), (expected, twin))
    )
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(dict(decoder.named_buffers()), dict(twin.named_buffers()))


def test_widths_are_the_official_ones():
    """1280 -> 256 -> 256 -> 128 -> 50 for DGCNN, 2064 -> 512 -> 256 -> 128 -> 50 for PointNet."""

    def widths(local, **options):
        decoder = PartSegmentationHead(1024, local, 16, 50, **options)
        linear = [layer for layer in decoder.modules() if isinstance(layer, torch.nn.Linear)]
        assert all(layer.bias is None for layer in linear)
        return [(layer.in_features, layer.out_features) for layer in linear]

    assert widths(192) == [(16, 64), (1280, 256), (256, 256), (256, 128), (128, 50)]
    pointnet = widths(1024, category_channels=0, channels=(512, 256, 128))
    assert pointnet == [(2064, 512), (512, 256), (256, 128), (128, 50)]


@pytest.mark.parametrize(("channels", "count"), [((8, 8, 8), 2), ((8,), 1)])
def test_dropout_is_where_it_should_be(channels, count, features):
    """Nothing is dropped after the last of several layers."""
    decoder = head(channels=channels, dropout=1.0).train()
    dropouts = [layer for layer in decoder.rest if isinstance(layer, torch.nn.Dropout)]
    assert len(dropouts) == count
    assert isinstance(decoder.rest[-1], torch.nn.Dropout) == (len(channels) == 1)
    moved = {**features, "local_feats": features["local_feats"] + 1}
    label = torch.zeros(4, dtype=torch.long)
    assert torch.equal(decoder(features, label)["logits"], decoder(moved, label)["logits"])


def test_loss_and_predictions(features, batch):
    decoder = head(smoothing=0.1, loss_weight=0.5).eval()
    features.update(decoder(features, batch["label"]))
    parts = batch["parts"][:, :9]
    expected = 0.5 * smoothed_cross_entropy(features["logits"].view(36, PARTS), parts.reshape(36), 0.1)
    batch["parts"] = parts
    torch.testing.assert_close(decoder.loss(features, batch), {"loss_task": expected})

    rows = decoder.predict(features, batch)
    assert [(row["index"], row["label"]) for row in rows] == [(5, 2), (6, 0), (7, 1), (8, 2)]
    for row, logits, truth in zip(rows, features["logits"], parts, strict=True):
        assert row["part_scores"].dtype == torch.float32
        torch.testing.assert_close(row["part_scores"], logits.softmax(-1).float())
        assert torch.equal(row["parts"], truth)
    unknown = decoder.predict(features, {"label": batch["label"]})
    assert unknown[0].keys() == {"part_scores", "label"}


class Plain(PointNet):
    """A backbone without local features."""

    def __init__(self):
        super().__init__()
        self.local_channels = None


def test_what_is_missing_is_named(features, batch):
    with pytest.raises(ValueError, match=r"needs the category of each shape.*pass label"):
        head()(features, None)
    del batch["parts"]
    with pytest.raises(ValueError, match="give the dataset parts=True"):
        head().loss(features, batch)
    with pytest.raises(ValueError, match=r"PartSegmentationHead needs local features.*Plain.* does not"):
        build("PointModel", {"type": Plain})


def build(kind, backbone, **more):
    torch.manual_seed(0)
    config = {"type": "PartSegmentationHead", "num_classes": CLASSES, "num_parts": PARTS}
    return MODELS.build({"type": kind, "backbone": backbone, "head": config, **more}).double()


def distilled(backbone):
    teacher = {"type": "MultiViewTeacher", "trunk": "test_resnet", "num_classes": 4, "channels": 16}
    distill = [{"type": "ViewDistillationHead"}]
    neck = {"type": "VAFP", "num_views": 3}
    model = build("PointMCD", backbone, neck=neck, distill=distill, teacher=teacher)
    model.teacher.describe = lambda batch: batch["teacher"]
    return model


@pytest.fixture(params=STUDENTS)
def backbone(request):
    return STUDENTS[request.param]


def test_every_parameter_gets_a_gradient(backbone, batch):
    model = distilled(backbone).train()
    losses = model(mode="loss", **batch)
    assert losses.keys() == {"loss_task", "loss_view"}
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        if not name.startswith("teacher."):
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def test_the_distilled_student_loads_into_the_baseline(backbone, batch):
    model, student = distilled(backbone).eval(), build("PointModel", backbone).eval()
    kept = {key: value for key, value in model.state_dict().items() if not key.startswith("distill.")}
    student.load_state_dict(kept, strict=True)
    points_and_category = {key: batch[key] for key in ("points", "label")}
    assert torch.equal(student(**points_and_category)["logits"], model(**points_and_category)["logits"])
    row = student(mode="predict", **points_and_category)[0]
    assert row["part_scores"].shape == (40, PARTS)


def test_stored_point_features_change_nothing(backbone, batch, monkeypatch):
    model = distilled(backbone).eval()
    first = model.training_features(batch["points"], batch["visibility"], batch["label"])
    assert model.pools_only == ("point_feats" not in first)
    assert model.pools_only == (backbone["type"] != "PointNet")
    monkeypatch.setattr(type(model), "pools_only", False)
    second = model.training_features(batch["points"], batch["visibility"], batch["label"])
    for name in ("logits", "view_feats", "global_feats", "local_feats"):
        torch.testing.assert_close(first[name], second[name])


def test_logits_move_with_their_points(backbone, batch):
    """Point 0 stays first, since PointNet++ samples from it."""
    model = build("PointModel", backbone).eval()
    order = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(39)])
    before = model(points=batch["points"], label=batch["label"])["logits"]
    after = model(points=batch["points"][:, order], label=batch["label"])["logits"]
    torch.testing.assert_close(after, before[:, order])


def test_the_category_is_heard(backbone, batch):
    model = build("PointModel", backbone).eval()
    logits = [model(points=batch["points"][:1], label=torch.tensor([i]))["logits"] for i in range(2)]
    assert not torch.allclose(*logits)


def test_bfloat16_autocast_stays_near(backbone, batch):
    model = build("PointModel", backbone).float()
    model.head.rest.eval()  # no dropout
    batch["points"] = batch["points"].float()
    exact = model(**batch)["logits"].flatten()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(**batch)["logits"].float().flatten()
        loss = model(mode="loss", **batch)["loss_task"]
    # DGCNN's graphs are of rounded features, so that a few neighbours are others
    assert torch.cosine_similarity(exact, rounded, dim=0) > (0.99 if "DGCNN" in backbone["type"] else 0.9)
    assert loss.dtype == torch.float32
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("name", ["dgcnn", "pointnet2"])
def test_torch_compile_traces_the_forward_pass(name, batch):
    """Without a break in the graph."""
    model = build("PointModel", STUDENTS[name]).eval()
    compiled = torch.compile(model.student_features, backend="eager", fullgraph=True)
    expected = model.student_features(batch["points"], batch["label"])["logits"]
    torch.testing.assert_close(compiled(batch["points"], batch["label"])["logits"], expected)
