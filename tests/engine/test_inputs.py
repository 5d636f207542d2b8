"""Normals and colours as input of a network: in training, testing, export and the student."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pointmcd.apis import export_student, load_student
from pointmcd.batch import network_input
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.engine import load_config
from pointmcd.engine.agreement import check_agreement, inputs_seen
from pointmcd.evaluation.encoders import build_encoder, extract
from pointmcd.geometry import MeshError
from pointmcd.registry import MODELS

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
ROOT = Path(__file__).resolve().parents[2]


def config_of(data, channels=6, **loaded):
    options = {"data_root": str(data), "model.backbone.in_channels": channels}
    options |= {f"{loader}.dataset.num_points": 64 for loader in LOADERS}
    options |= {f"{loader}.dataset.{kind}": value for loader in LOADERS for kind, value in loaded.items()}
    return load_config(ROOT / "configs/baseline_pointnet_builtin.py", options)


def batch():
    generator = torch.Generator().manual_seed(0)
    return {kind: torch.rand(2, 5, 3, generator=generator) for kind in ("points", "normals", "colors")}


def test_a_network_sees_what_is_loaded_in_one_order():
    full = batch()
    seen = network_input(full, 9)
    assert torch.equal(seen, torch.cat([full["points"], full["normals"], full["colors"]], -1))
    del full["normals"]
    assert torch.equal(network_input(full, 6), torch.cat([full["points"], full["colors"]], -1))
    assert network_input(full, 3) is full["points"]  # loaded for another purpose
    assert network_input({"points": seen}, 9) is seen
    with pytest.raises(ValueError, match=r"in_channels of the backbone is 9, but the batch has .* colors: 6"):
        network_input(full, 9)


def test_a_config_whose_network_is_not_fed_is_refused(tiny_set):
    with pytest.raises(ValueError, match=r"train_dataloader.dataset has x, y, z: 3 .*normals=True"):
        config_of(tiny_set)
    with pytest.raises(ValueError, match="in_channels of the backbone is 6"):
        config_of(tiny_set, normals=True, colors=True)
    assert config_of(tiny_set, 3, normals=True).model.backbone.in_channels == 3
    with pytest.raises(ValueError, match="prepared without colors"):
        PreparedShapes(str(tiny_set), "train", 64, colors=True)


BACKBONES = {
    "PointNet": {},
    "DGCNN": {},
    "PointNet2": {"num_points": (32, 8)},
    "PointNeXt": {},
    "CurveNet": {},
    "PointTransformer": {"size": "tiny"},
}


def test_the_config_in_the_docs_feeds_normals(tiny_set, tmp_path):
    section = (ROOT / "docs/data.md").read_text().partition("## Normals and colours as input")[2]
    lines = [line.strip() for line in section.partition("## ")[0].splitlines() if line.startswith("    ")]
    base = (ROOT / "configs/baseline_dgcnn_meshes.py").as_posix()
    config = tmp_path / "normals.py"
    config.write_text("\n".join(lines).replace("baseline_dgcnn_meshes.py", base))
    options = {f"{loader}.dataset.num_points": 64 for loader in LOADERS}
    assert inputs_seen(load_config(config, {"data_root": str(tiny_set), **options})) == ["normals"]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_reads_the_normals(tiny_set, backbone):
    options = {"type": backbone, "in_channels": 6, **BACKBONES[backbone]}
    model = MODELS.build({"type": "PointModel", "backbone": options, "head": None}).eval()
    shapes = PreparedShapes(str(tiny_set), "test", 128, normals=True)[0]
    other = {**shapes, "normals": -shapes["normals"]}
    with torch.inference_mode():
        said, otherwise = (model(**one)["global_feats"] for one in (shapes, other))
    assert not torch.allclose(said, otherwise)


def test_training_export_and_student_see_the_same(tiny_set, tiny_meshes, tmp_path):
    config = config_of(tiny_set, normals=True)
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    shapes = PreparedShapes(str(tiny_set), "test", 64, normals=True)
    losses = model(mode="loss", **shapes.__getitems__([0, 5, 9]))
    sum(losses.values()).backward()
    assert model.backbone.layer1.linear.weight.grad[:, 3:].abs().min() > 0  # of the normals' channels
    torch.save({"state_dict": model.state_dict(), "meta": {}}, tmp_path / "a.pth")
    exported = export_student(config, tmp_path / "a.pth", tmp_path / "student.pth")
    assert exported["inputs"] == ["normals"]
    student = load_student(tmp_path / "student.pth")
    name = shapes.names[0]
    file = tiny_meshes / name.split("/")[0] / "test" / f"{name.split('/')[1]}.off"
    expected = np.concatenate(
        [values[0].numpy() for values in (shapes[0]["points"], shapes[0]["normals"])], -1
    )
    np.testing.assert_array_equal(student.points(file), expected)
    with torch.inference_mode():
        scores = model.eval()(**shapes[0])["logits"].softmax(-1)[0]
    assert student.classify(file, 1)[0].probability == pytest.approx(scores.max().item(), abs=1e-6)
    features = extract(student.model, shapes)
    np.testing.assert_allclose(features.values[0], student.embed(file), atol=1e-5)
    with pytest.raises(MeshError, match=r"sees x, y, z, normals: it needs 6 columns, not 3"):
        student.classify(expected[:, :3])
    np.savetxt(tmp_path / "bare.xyz", expected[:, :3])
    with pytest.raises(MeshError, match="the cloud has no normals, which the network sees"):
        student.classify(tmp_path / "bare.xyz")


def test_checkpoints_of_other_inputs_are_refused(tiny_set):
    config = config_of(tiny_set, normals=True)
    statement = {"network": {"backbone": dict(config.model.backbone)}, "inputs": ["colors"]}
    with pytest.raises(ValueError, match=r"what the network sees: .*colors.* in the checkpoint, .*normals"):
        check_agreement(config, {"meta": {"statement": statement}}, "a.pth")


def test_a_random_encoder_needs_its_inputs(tiny_set):
    encoder = build_encoder(config_of(tiny_set, normals=True).model)
    with pytest.raises(ValueError, match="in_channels of the backbone is 6, but the batch has x, y, z: 3"):
        extract(encoder, PreparedShapes(str(tiny_set), "test", 64))
    assert extract(encoder, PreparedShapes(str(tiny_set), "test", 64, normals=True)).values.shape == (
        12,
        1024,
    )
    assert PreparedSet(tiny_set).split("test").colors is None
