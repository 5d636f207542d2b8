"""The converted official teachers give the official outputs, losses and gradients, in float64."""

from pathlib import Path

import numpy as np
import pytest
import torch
from parity import assert_close, assert_gradients, assert_loss, build, expected_of, weights

from pointmcd.registry import MODELS


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_classification(mode, official_outputs, official_networks):
    state = weights(official_networks["teacher_cls"]["keys"])
    config = {"type": "MultiViewTeacher", "num_classes": 40}
    model = build(config, state, training=mode == "train")
    images = torch.from_numpy(np.random.default_rng(21).random((2, 12, 3, 64, 64)))
    batch = {"views": images, "label": torch.tensor([7, 39])}
    expected = expected_of(official_outputs, f"teacher_cls/{mode}/")

    said = model(mode="tensor", **batch)
    for key in ("view_descriptors", "descriptor", "view_logits", "logits"):
        assert_close(said[key], expected[key], key)
    loss = sum(model(mode="loss", **batch).values())
    assert_loss(loss, expected["loss"], "loss")
    if mode == "train":
        loss.backward()
        assert_gradients(model, state, official_networks["teacher_cls"]["grad_norms"])


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_autoencoder(mode, official_outputs, official_networks):
    state = weights(official_networks["teacher_autoencoder"]["keys"])
    model = build({"type": "AutoencoderTeacher", "image_size": 224}, state, training=mode == "train")
    views = torch.from_numpy(np.random.default_rng(22).random((2, 3, 224, 224))).unsqueeze(1)
    expected = expected_of(official_outputs, f"teacher_autoencoder/{mode}/")

    with torch.no_grad():
        features = model(views=views)
        (loss,) = model.loss(features, {"views": views}).values()
        images = model.reconstruct(features)[:, 0]
    assert_loss(loss, expected["loss"], "loss")
    assert_close(images[..., ::16, ::16], expected["reconstruction_every16"], "reconstruction")
    if mode == "eval":
        assert_close(features["descriptor"], expected["descriptor"], "descriptor")


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_part_segmentation(mode, official_outputs, official_networks):
    state = weights(official_networks["teacher_seg"]["keys"])
    config = {"type": "PartSegmentationTeacher", "num_classes": 16, "num_parts": 50}
    model = build(config, state, training=mode == "train")
    views = torch.from_numpy(np.random.default_rng(23).random((2, 3, 224, 224))).unsqueeze(1)
    expected = expected_of(official_outputs, f"teacher_seg/{mode}/")

    with torch.no_grad():
        features = model(views=views)
        logits = model.part_logits(features, {"views": views, "label": torch.tensor([3, 15])})[:, 0]
    assert_close(features["descriptor"], expected["descriptor"], "descriptor")
    assert_close(logits[..., ::16, ::16], expected["logits_every16"], "logits")


def test_parts_start_from_a_converted_autoencoder(official_networks, tmp_path, monkeypatch):
    """``tools/convert_official.py`` writes what ``checkpoint`` takes."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "tools"))
    import convert_official

    state = weights(official_networks["teacher_autoencoder"]["keys"])
    official, ours = tmp_path / "official.pth", tmp_path / "ours.pth"
    torch.save(state, official)
    monkeypatch.setattr("sys.argv", ["convert_official.py", str(official), str(ours)])
    convert_official.main()
    with pytest.raises(SystemExit, match=r"official\.pth is what is read"):
        convert_official.main([str(official), str(official)])
    config = {"type": "PartSegmentationTeacher", "num_classes": 2, "num_parts": 3, "checkpoint": str(ours)}
    trunk = MODELS.build(config).double().trunk
    first, last = trunk.features[0].weight, trunk.attentions[3].excite.weight
    assert torch.equal(first, state["cnn_backbone.conv_1.0.0.weight"].float().double())
    assert torch.equal(last, state["cnn_backbone.conv_4.1.fc.1.linear.weight"].float().double())
