"""The converted official networks give the official outputs, losses and gradients, in float64."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pointmcd.models.official import NETWORKS, convert
from pointmcd.registry import MODELS

OUTPUT_TOLERANCE = 1e-6  # of the array's largest magnitude
LOSS_TOLERANCE = 1e-6
GRADIENT_TOLERANCE = 1e-5
CANCELLED = 1e-9  # gradient of a parameter that batch norm cancels
LABELS = torch.tensor([7, 0, 39])


@pytest.fixture(scope="module")
def outputs(shared: Path) -> Any:
    return np.load(shared / "parity" / "official_outputs.npz")


@pytest.fixture(scope="module")
def networks(shared: Path) -> dict[str, Any]:
    return json.loads((shared / "parity" / "official_keys.json").read_text())


def weights(keys: dict[str, list[int]]) -> dict[str, Tensor]:
    """The weights that the rule of the parity data gives to each key."""
    state = {}
    for key, shape in keys.items():
        r = np.random.default_rng(zlib.crc32(key.encode()))
        if key.endswith("num_batches_tracked"):
            value = np.zeros(shape, np.int64)
        elif key.endswith("running_var"):
            value = r.uniform(0.5, 1.5, shape)
        elif key.endswith("running_mean"):
            value = 0.1 * r.standard_normal(shape)
        elif len(shape) >= 2:
            value = r.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        elif key.endswith("bias"):
            value = 0.1 * r.standard_normal(shape)
        else:
            value = 1 + 0.6 * r.standard_normal(shape)
        state[key] = torch.from_numpy(np.asarray(value))
    return state


def student_batch() -> dict[str, Any]:
    """Points, visibility masks, labels and teacher descriptors by the rule of the parity data."""
    r, clouds = np.random.default_rng(11), []
    for _ in range(3):
        p = r.standard_normal((1024, 3))
        p /= np.linalg.norm(p, axis=1, keepdims=True)
        p *= r.uniform(0.3, 1, 3)
        p[:256] = r.uniform(-1, 1, (256, 3)) * (0.9, 0.05, 0.6)
        clouds.append(p / np.abs(p).max())
    visible = np.random.default_rng(12).random((3, 1024, 12)) < 0.45
    visible[0, :, 1] = False
    teacher = np.maximum(np.random.default_rng(13).standard_normal((3, 12, 512)), 0)
    return {
        "points": torch.from_numpy(np.stack(clouds)),
        "visibility": torch.from_numpy((visible << np.arange(12)).sum(-1).astype(np.int32)),
        "label": LABELS,
        "teacher": {"view_descriptors": torch.from_numpy(teacher)},
    }


def build(config: dict[str, Any], state: dict[str, Tensor], training: bool) -> torch.nn.Module:
    model = MODELS.build(config).double()
    model.load_state_dict(convert(state)[1])
    return model.train(training)


def student(backbone: str) -> dict[str, Any]:
    """The real student. The teacher is asked nothing here, so that a small one will do."""
    return {
        "type": "PointMCD",
        "backbone": {"type": backbone},
        "head": {"type": "ClassificationHead", "num_classes": 40},
        "neck": {"type": "VAFP", "num_views": 12},
        "distill": [{"type": "ViewDistillationHead"}],
        "teacher": {"type": "MultiViewTeacher", "trunk": "test_resnet", "num_classes": 40},
    }


def expected_of(outputs: Any, prefix: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(prefix): outputs[key] for key in outputs.files if key.startswith(prefix)}


def assert_close(actual: Tensor, expected: np.ndarray, name: str) -> None:
    error = np.abs(actual.detach().numpy() - expected).max() / np.abs(expected).max()
    assert error < OUTPUT_TOLERANCE, f"{name}: off by {error:.1e} of the largest magnitude"


def assert_loss(actual: Tensor, expected: np.ndarray, name: str) -> None:
    assert float(actual.detach()) == pytest.approx(float(expected), rel=LOSS_TOLERANCE), name


def assert_gradients(model: torch.nn.Module, state: dict[str, Tensor], official: dict[str, float]) -> None:
    """Compare the norm of the gradient of every official parameter with ours, and leave out none of ours."""
    names = NETWORKS[convert(state)[0]]
    ours = {
        name: float(parameter.grad.norm())
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    compared = set()
    for key, norm in official.items():
        module, _, tensor = key.rpartition(".")
        name = f"{names[module]}.{tensor}"
        compared.add(name)
        if name.endswith("linear.bias"):  # moved into the running mean: no parameter here, no gradient there
            assert name not in ours
            assert norm < CANCELLED, key
        else:
            assert ours[name] == pytest.approx(norm, rel=GRADIENT_TOLERANCE, abs=CANCELLED), key
    assert ours.keys() <= compared


@pytest.mark.parametrize(
    ("name", "backbone", "weight"), [("pointnet_cls", "PointNet", 0.001), ("dgcnn_cls", "DGCNN", None)]
)
@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("pools_only", [True, False], ids=["pooled-before-norm", "point-features"])
def test_student(name, backbone, weight, mode, pools_only, outputs, networks, monkeypatch):
    state = weights(networks[name]["keys"])
    model = build(student(backbone), state, training=mode == "train")
    monkeypatch.setattr(type(model), "pools_only", pools_only)
    batch = student_batch()
    np.testing.assert_allclose(batch["points"][:, :4], outputs["inputs/points_1024"], rtol=0, atol=1e-12)
    expected = expected_of(outputs, f"{name}/{mode}/")

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
        assert_gradients(model, state, networks[name]["grad_norms"])


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_teacher(mode, outputs, networks):
    state = weights(networks["teacher_cls"]["keys"])
    config = {"type": "MultiViewTeacher", "num_classes": 40}
    model = build(config, state, training=mode == "train")
    images = torch.from_numpy(np.random.default_rng(21).random((2, 12, 3, 64, 64)))
    batch = {"views": images, "label": LABELS[[0, 2]]}
    expected = expected_of(outputs, f"teacher_cls/{mode}/")

    said = model(mode="tensor", **batch)
    for key in ("view_descriptors", "descriptor", "view_logits", "logits"):
        assert_close(said[key], expected[key], key)
    loss = sum(model(mode="loss", **batch).values())
    assert_loss(loss, expected["loss"], "loss")
    if mode == "train":
        loss.backward()
        assert_gradients(model, state, networks["teacher_cls"]["grad_norms"])


def test_other_weights_are_refused():
    with pytest.raises(ValueError, match=r"not the weights of an official .*conv1\.weight"):
        convert({"conv1.weight": torch.zeros(2, 2)})


def test_tool_writes_a_checkpoint_that_loads(networks, tmp_path, monkeypatch):
    """``tools/convert_official.py``, from a state dict as ``DataParallel`` saves it."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "tools"))
    import convert_official

    state = weights(networks["dgcnn_cls"]["keys"])
    official, ours = tmp_path / "official.pth", tmp_path / "ours.pth"
    torch.save({f"module.{key}": value for key, value in state.items()}, official)
    monkeypatch.setattr("sys.argv", ["convert_official.py", str(official), str(ours)])
    convert_official.main()
    saved = torch.load(ours, weights_only=True)
    assert saved["meta"]["converted_from"] == "DGCNN classification student"
    MODELS.build(student("DGCNN")).load_state_dict(saved["state_dict"])
