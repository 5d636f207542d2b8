"""Students that segment, and students without a head: exported, loaded, used."""

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from torch import nn

from pointmcd.apis import export_student, load_student
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.engine import load_config
from pointmcd.registry import MODELS

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
CHAIR, LAMP, TABLE = [0, 1, 2, 3], [4, 5, 6], [7, 8, 9]


def export(config, path):
    """A checkpoint of a network whose running statistics have moved, exported; and that network."""
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    for _ in range(5):
        model.student_features(torch.rand(6, 100, 3) - 0.5, torch.arange(6) % 3)
    checkpoint = path / "epoch_1.pth"
    torch.save({"state_dict": model.state_dict()}, checkpoint)
    export_student(config, checkpoint, path / "student.pth")
    return model.eval()


def segmentation_config(root, **backbone):
    overrides = {f"{split}_dataloader.dataset.num_points": 100 for split in ("train", "val", "test")}
    if backbone:
        overrides["model.backbone"] = {"_delete_": True, **backbone}
    return load_config(CONFIGS / "pointmcd_pointnet_builtinpart.py", {"data_root": str(root), **overrides})


def headless_config(root):
    return load_config(
        CONFIGS / "pointmcd_pointnet_modelnet.py",
        {"data_root": str(root), "model.head": None, "test_dataloader.dataset.num_points": 100},
    )


@pytest.fixture
def segmenter(parts_set, tmp_path):
    export(segmentation_config(parts_set), tmp_path)
    return load_student(tmp_path / "student.pth")


class Slabs(nn.Module):
    """An oracle in place of a network: the parts of a category lie above each other in slabs along z."""

    dense, head = True, "oracle"

    def forward(self, points, label):
        parts = (CHAIR, LAMP, TABLE)[int(label)]
        centers = torch.zeros(10)  # those of other categories are the nearest to many points
        centers[parts] = torch.linspace(-0.5, 0.5, len(parts))
        return {"logits": -(points[..., 2:] - centers).abs()}


@pytest.mark.parametrize(
    "backbone",
    [{}, {"type": "DGCNNSeg", "k": 8}, {"type": "PointNet2Seg", "num_points": [50, 20]}],
    ids=["PointNet", "DGCNNSeg", "PointNet2Seg"],
)
def test_export_segments_the_same(parts_set, tmp_path, backbone):
    config = segmentation_config(parts_set, **backbone)
    model = export(config, tmp_path)
    saved = torch.load(tmp_path / "student.pth", weights_only=True)
    assert saved["class_parts"] == [CHAIR, LAMP, TABLE]
    assert all(key.startswith(("backbone.", "head.")) for key in saved["state_dict"])
    student = load_student(tmp_path / "student.pth")
    cloud = np.array(PreparedSet(parts_set).split("test").points[2])
    found = student.segment(cloud, "lamp")
    assert found.points.shape == (100, 3)
    with torch.inference_mode():
        features = model(points=torch.tensor(found.points)[None], label=torch.tensor([1]))
    expected = features["logits"][0, :, LAMP].argmax(-1).numpy() + LAMP[0]
    np.testing.assert_array_equal(found.parts, expected)
    np.testing.assert_allclose(student.embed(cloud), features["global_feats"][0], rtol=1e-4, atol=1e-5)


def test_exact_parts_names_and_points(segmenter):
    segmenter.model = Slabs()
    cloud = np.random.default_rng(0).normal(size=(400, 3)) * (3, 3, 5) + 7
    found = segmenter.segment(cloud, "lamp")
    centers = np.linspace(-0.5, 0.5, 3)
    expected = np.abs(found.points[:, 2:] - centers).argmin(1)
    np.testing.assert_array_equal(found.parts, 4 + expected)
    assert found.names().tolist() == [["lamp-base", "lamp-pole", "lamp-shade"][part] for part in expected]
    assert set(segmenter.segment(cloud, "table").names()) == {"table-top", "table-leg", "table-apron"}


def test_all_points_of_a_cloud_in_its_order(segmenter, tmp_path):
    segmenter.model = Slabs()
    cloud = np.random.default_rng(1).normal(size=(400, 3)) * (3, 3, 5) + 7
    np.save(tmp_path / "cloud.npy", np.hstack([cloud, np.ones((400, 3))]))
    for shape in (cloud, tmp_path / "cloud.npy"):
        seen = segmenter.segment(shape, "chair")
        whole = segmenter.segment(shape, "chair", all_points=True)
        centered = cloud - (cloud.max(0) + cloud.min(0)) / 2
        radius = np.linalg.norm(centered, axis=1).max()
        np.testing.assert_allclose(whole.points, centered / radius, atol=1e-6)
        nearest = np.linalg.norm(whole.points[:, None] - seen.points, axis=2).argmin(1)
        np.testing.assert_array_equal(whole.parts, seen.parts[nearest])


def test_a_picture_of_the_parts(segmenter, tmp_path):
    figure = segmenter.segment(np.random.default_rng(0).normal(size=(200, 3)), "table").draw()
    (cell,) = figure.subfigs
    assert cell.texts[0].get_text() == "table"
    assert [text.get_text() for text in cell.legends[0].get_texts()] == [
        "table-top",
        "table-leg",
        "table-apron",
    ]
    figure.savefig(tmp_path / "parts.png")
    assert (tmp_path / "parts.png").stat().st_size > 1000


def test_a_student_without_a_head_embeds(taught_set, tmp_path):
    model = export(headless_config(taught_set), tmp_path)
    saved = torch.load(tmp_path / "student.pth", weights_only=True)
    assert saved["model"]["head"] is None
    assert all(key.startswith("backbone.") for key in saved["state_dict"])
    student = load_student(tmp_path / "student.pth")
    cloud = np.random.default_rng(0).normal(size=(300, 3))
    found = student.embed(cloud)
    assert (found.shape, found.dtype) == ((1024,), np.float32)
    with torch.inference_mode():
        expected = model(points=torch.tensor(student.points(cloud))[None])["global_feats"][0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    for call in (lambda: student.classify(cloud), lambda: student.segment(cloud, "box")):
        with pytest.raises(ValueError, match=r"has no head and cannot \w+; it can embed"):
            call()


def test_what_a_student_cannot_do_is_named(segmenter, tmp_path):
    cloud = np.random.default_rng(0).normal(size=(200, 3))
    with pytest.raises(ValueError, match="does not classify; it can segment and embed"):
        segmenter.classify(cloud)
    with pytest.raises(ValueError, match="does not classify"):
        segmenter.features(cloud)
    with pytest.raises(ValueError, match="'chiar' is not known; did you mean 'chair'"):
        segmenter.segment(cloud, "chiar")
    with pytest.raises(ValueError, match="'x' is not known; known: chair, lamp, table"):
        segmenter.segment(cloud, "x")
    trimesh.creation.box().export(tmp_path / "box.off")
    assert len(segmenter.segment(tmp_path / "box.off", "chair").parts) == 100
    with pytest.raises(ValueError, match=r"box.off is a mesh: all_points needs a cloud"):
        segmenter.segment(tmp_path / "box.off", "chair", all_points=True)


def test_a_classifier_does_not_segment(taught_set, tmp_path):
    overrides = {"data_root": str(taught_set), "test_dataloader.dataset.num_points": 100}
    export(load_config(CONFIGS / "baseline_pointnet_modelnet.py", overrides), tmp_path)
    with pytest.raises(ValueError, match="does not segment; it can classify and embed"):
        load_student(tmp_path / "student.pth").segment(np.zeros((5, 3)), "box")


def test_what_cannot_be_exported_is_named(parts_set, taught_set, tmp_path):
    config = segmentation_config(parts_set)
    export(config, tmp_path)
    before = (tmp_path / "student.pth").read_bytes()
    (tmp_path / "broken.pth").write_bytes((tmp_path / "epoch_1.pth").read_bytes()[:5000])
    torch.save({"state_dict": {"head.weight": torch.zeros(1)}}, tmp_path / "other.pth")
    for name, message in (
        ("broken.pth", "broken.pth is damaged"),
        ("other.pth", "does not fit this config; give the config that the checkpoint was trained with"),
    ):
        with pytest.raises(ValueError, match=message):
            export_student(config, tmp_path / name, tmp_path / "student.pth")
    teacher = load_config(CONFIGS / "teacher_tinyresnet_builtin.py", {"data_root": str(taught_set)})
    with pytest.raises(ValueError, match="MultiViewTeacher, has no point backbone"):
        export_student(teacher, tmp_path / "epoch_1.pth", tmp_path / "student.pth")
    assert (tmp_path / "student.pth").read_bytes() == before
    with pytest.raises(ValueError, match=r"broken.pth is damaged"):
        load_student(tmp_path / "broken.pth")
