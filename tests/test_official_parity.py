"""The converted official students give the official outputs, losses and gradients, in float64."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parity import assert_close, assert_gradients, assert_loss, build, expected_of, weights
from torch import Tensor

from pointmcd import ops
from pointmcd.models.official import convert
from pointmcd.registry import MODELS

LABELS = torch.tensor([7, 0, 39])
CATEGORIES = torch.tensor([3, 0, 15])


def student_batch(points: int, views: int, label: Tensor) -> dict[str, Any]:
    """Points, visibility masks, labels, teacher descriptors and parts by the rule of the parity data."""
    r, clouds = np.random.default_rng(11), []
    for _ in range(3):
        p = r.standard_normal((points, 3))
        p /= np.linalg.norm(p, axis=1, keepdims=True)
        p *= r.uniform(0.3, 1, 3)
        p[: points // 4] = r.uniform(-1, 1, (points // 4, 3)) * (0.9, 0.05, 0.6)
        clouds.append(p / np.abs(p).max())
    visible = np.random.default_rng(12).random((3, points, views)) < 0.45
    visible[0, :, 1] = False
    r = np.random.default_rng(13)
    teacher = np.maximum(r.standard_normal((3, views, 512)), 0)
    return {
        "points": torch.from_numpy(np.stack(clouds)),
        "visibility": torch.from_numpy((visible << np.arange(views)).sum(-1).astype(np.int32)),
        "label": label,
        "parts": torch.from_numpy(r.integers(0, 50, (3, points))),
        "teacher": {"view_descriptors": torch.from_numpy(teacher)},
    }


def student(backbone: dict[str, Any], head: dict[str, Any], views: int) -> dict[str, Any]:
    """The real student. The teacher is asked nothing here, so that a small one will do."""
    return {
        "type": "PointMCD",
        "backbone": backbone,
        "head": head,
        "neck": {"type": "VAFP", "num_views": views},
        "distill": [{"type": "ViewDistillationHead"}],
        "teacher": {"type": "MultiViewTeacher", "trunk": "test_resnet", "num_classes": 40},
    }


def classifier(backbone: str) -> dict[str, Any]:
    return student({"type": backbone}, {"type": "ClassificationHead", "num_classes": 40}, 12)


def segmenter(backbone: dict[str, Any], **head: Any) -> dict[str, Any]:
    return student(backbone, {"type": "PartSegmentationHead", "num_classes": 16, "num_parts": 50, **head}, 16)


SEGMENTERS = {
    "pointnet_seg": segmenter(
        {"type": "PointNet", "tnet_reg_weight": 0},
        category_channels=0,
        channels=(512, 256, 128),
        dropout=0.0,
        negative_slope=0.0,
        smoothing=0.05,
        loss_weight=0.1,
    ),
    "dgcnn_seg": segmenter({"type": "DGCNNSeg"}, dropout=0.0),
}


@pytest.mark.parametrize(
    ("name", "backbone", "weight"), [("pointnet_cls", "PointNet", 0.001), ("dgcnn_cls", "DGCNN", None)]
)
@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("pools_only", [True, False], ids=["pooled-before-norm", "point-features"])
@pytest.mark.parametrize("backend", ops.available("cpu"))
def test_classification(
    name, backbone, weight, mode, pools_only, backend, official_outputs, official_networks, monkeypatch
):
    state = weights(official_networks[name]["keys"])
    model = build(classifier(backbone), state, training=mode == "train")
    monkeypatch.setattr(type(model), "pools_only", pools_only)
    batch = student_batch(1024, 12, LABELS)
    np.testing.assert_allclose(
        batch["points"][:, :4], official_outputs["inputs/points_1024"], rtol=0, atol=1e-12
    )
    expected = expected_of(official_outputs, f"{name}/{mode}/")

    with ops.use_backend(backend):
        features = model.training_features(batch["points"], batch["visibility"])
        assert_close(model.distill[0](features), expected["view_descriptors"], "view descriptors")
        assert_close(features["logits"], expected["logits"], "logits")

        losses = {**model.head.loss(features, batch), **features["losses"]}
        losses.update(model.distill[0].loss(features, batch["teacher"]))
        assert_loss(losses["loss_task"] / 0.1, expected["loss_task"], "task loss")
        assert_loss(losses["loss_view"], expected["loss_distill"], "distillation loss")
        if weight is not None:
            assert_loss(losses["loss_tnet"] / weight, expected["tnet_reg"], "T-Net regulariser")
        if mode == "train":
            loss = sum(losses.values())
            assert_loss(loss, expected["loss"], "loss")
            loss.backward()
            assert_gradients(model, state, official_networks[name]["grad_norms"])


@pytest.mark.parametrize("name", SEGMENTERS)
@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("backend", ops.available("cpu"))
def test_part_segmentation(name, mode, backend, official_outputs, official_networks):
    state = weights(official_networks[name]["keys"])
    model = build(SEGMENTERS[name], state, training=mode == "train")
    batch = student_batch(2048, 16, CATEGORIES)
    expected = expected_of(official_outputs, f"{name}/{mode}/")

    with ops.use_backend(backend):
        features = model.training_features(batch["points"], batch["visibility"], batch["label"])
        assert_close(model.distill[0](features), expected["view_descriptors"], "view descriptors")
        assert_close(features["logits"][:, ::16], expected["logits"], "logits")

        losses = {**model.head.loss(features, batch), **model.distill[0].loss(features, batch["teacher"])}
        assert_loss(losses["loss_task"] / model.head.loss_weight, expected["loss_task"], "task loss")
        assert_loss(losses["loss_view"], expected["loss_distill"], "distillation loss")
        if mode == "train":
            loss = sum(losses.values())
            assert_loss(loss, expected["loss"], "loss")
            loss.backward()
            assert_gradients(model, state, official_networks[name]["grad_norms"])


def test_other_weights_are_refused():
    with pytest.raises(ValueError, match=r"not the weights of an official .*conv1\.weight"):
        convert({"conv1.weight": torch.zeros(2, 2)})


def test_tool_writes_a_checkpoint_that_loads(official_networks, tmp_path, monkeypatch):
    """``tools/convert_official.py``, from a state dict as ``DataParallel`` saves it."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "tools"))
    import convert_official

    state = weights(official_networks["dgcnn_cls"]["keys"])
    official, ours = tmp_path / "official.pth", tmp_path / "ours.pth"
    torch.save({f"module.{key}": value for key, value in state.items()}, official)
    monkeypatch.setattr("sys.argv", ["convert_official.py", str(official), str(ours)])
    convert_official.main()
    saved = torch.load(ours, weights_only=True)
    assert saved["meta"]["converted_from"] == "DGCNN classification student"
    MODELS.build(classifier("DGCNN")).load_state_dict(saved["state_dict"])
