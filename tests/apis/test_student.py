"""The exported student: strict loading, the same predictions, files of every kind."""

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from pointmcd.apis import export_student, load_student
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.engine import load_config
from pointmcd.geometry import MeshError
from pointmcd.registry import MODELS

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
BACKBONES = ["PointNet", "DGCNN", "PointNet2", "PointNeXt", "CurveNet", "PointTransformer"]


def trained(data, tmp_path, backbone):
    """A checkpoint as training writes it, its running statistics moved from where they start."""
    overrides = {"data_root": str(data), "model.backbone.type": backbone}
    overrides |= {f"{split}_dataloader.dataset.num_points": 100 for split in ("train", "val", "test")}
    if backbone == "PointNet2":
        overrides["model.backbone.num_points"] = [50, 20]
    if backbone == "PointTransformer":
        overrides |= {"model.backbone.size": "tiny", "model.backbone.depth": 2}
    config = load_config(CONFIGS / "pointmcd_pointnet_modelnet.py", overrides)
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    for _ in range(2):
        model.training_features(torch.randn(4, 100, 3), torch.ones(4, 100, dtype=torch.int32))
    checkpoint = tmp_path / "epoch_1.pth"
    torch.save({"state_dict": model.state_dict(), "meta": {"epoch": 1}}, checkpoint)
    return config, model.eval(), checkpoint, overrides


@pytest.fixture
def student(taught_set, tmp_path):
    config, _, checkpoint, _ = trained(taught_set, tmp_path, "PointNet")
    export_student(config, checkpoint, tmp_path / "student.pth")
    return load_student(tmp_path / "student.pth")


@pytest.mark.parametrize("backbone", BACKBONES)
def test_export_predicts_the_same_bit_for_bit(taught_set, tmp_path, backbone):
    config, model, checkpoint, overrides = trained(taught_set, tmp_path, backbone)
    export_student(config, checkpoint, tmp_path / "student.pth")
    student = load_student(tmp_path / "student.pth")
    points = torch.tensor(PreparedSet(taught_set).split("test").points[:, :100])
    with torch.inference_mode():
        expected = model(points=points)["logits"].softmax(-1)
    assert torch.equal(student.probabilities(points), expected)

    baseline = load_config(CONFIGS / "baseline_pointnet_modelnet.py", overrides)
    fresh = MODELS.build(baseline.model)
    fresh.load_state_dict(torch.load(tmp_path / "student.pth", weights_only=True)["state_dict"], strict=True)
    with torch.inference_mode():
        assert torch.equal(fresh.eval()(points=points)["logits"].softmax(-1), expected)


def test_a_training_file_gives_the_training_points(student, taught_set, tiny_meshes):
    split = PreparedSet(taught_set).split("train")
    row = split.names.index("torus/torus_0003")
    points = student.points(tiny_meshes / "torus/train/torus_0003.off")
    np.testing.assert_array_equal(points, split.points[row, :100])


def test_classify_orders_all_classes(student, tiny_meshes):
    predictions = student.classify(tiny_meshes / "cone/test/cone_0007.off", top=4)
    assert sorted(prediction.name for prediction in predictions) == ["box", "cone", "cylinder", "torus"]
    probabilities = [prediction.probability for prediction in predictions]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1)
    features = student.features(tiny_meshes / "cone/test/cone_0007.off")
    assert {name: value.shape for name, value in features.items()} == {
        "global": (1024,),
        "descriptor": (512,),
        "logits": (4,),
    }


def test_clouds_of_every_kind_give_the_same_points(student, tmp_path):
    cloud = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    np.save(tmp_path / "cloud.npy", cloud)
    np.savetxt(tmp_path / "cloud.xyz", cloud, fmt="%.9g")
    np.savetxt(tmp_path / "cloud.txt", np.hstack([cloud, cloud]), fmt="%.9g", delimiter=",")
    trimesh.PointCloud(cloud).export(tmp_path / "cloud.ply")
    expected = student.points(tmp_path / "cloud.npy")
    assert expected.shape == (100, 3)
    for suffix in (".xyz", ".txt", ".ply"):
        np.testing.assert_allclose(student.points(tmp_path / f"cloud{suffix}"), expected, atol=1e-6)
    assert student.points(cloud).shape == (100, 3)


def test_mesh_formats_are_read(student, tmp_path):
    mesh = trimesh.creation.icosphere(2)
    for suffix in (".off", ".obj", ".ply", ".stl", ".glb"):
        mesh.export(tmp_path / f"ball{suffix}")
        radii = np.linalg.norm(student.points(tmp_path / f"ball{suffix}"), axis=1)
        assert radii.min() > 0.9


def test_a_glb_stands_as_its_format_says(student, tmp_path):
    """GLB is +Y up also where the training set is z up."""
    trimesh.creation.box((1, 5, 1)).export(tmp_path / "post.glb")
    trimesh.creation.box((1, 1, 5)).export(tmp_path / "post.off")
    for name in ("post.glb", "post.off"):
        assert np.ptp(student.points(tmp_path / name), axis=0).argmax() == 2


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("none.off", None, "there is no file"),
        ("shape.step", "solid", "is not a supported file"),
        ("broken.xyz", "1 2 three", "cannot be read as a point cloud"),
        ("empty.xyz", "", "cannot be read as a point cloud: the file is empty"),
        ("broken.off", "OFF\n3 1", "broken.off: unreadable OFF"),
    ],
)
def test_bad_files_are_named(student, tmp_path, name, text, message):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(MeshError, match=message):
        student.classify(path)


def test_bad_arrays_are_named(student):
    with pytest.raises(MeshError, match=r"\(N, 3\)"):
        student.points(np.zeros((5, 2)))
    with pytest.raises(MeshError, match="not finite"):
        student.points(np.full((5, 3), np.nan))


def test_what_is_no_export_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no exported student"):
        load_student(tmp_path / "none.pth")
    torch.save({"state_dict": {}}, tmp_path / "epoch_1.pth")
    with pytest.raises(ValueError, match=r"pointmcd export CONFIG"):
        load_student(tmp_path / "epoch_1.pth")


def test_a_checkpoint_of_another_model_is_refused(taught_set, tmp_path):
    _, _, checkpoint, overrides = trained(taught_set, tmp_path, "PointNet")
    other = load_config(
        CONFIGS / "pointmcd_pointnet_modelnet.py", {**overrides, "model.backbone.type": "DGCNN"}
    )
    with pytest.raises(
        ValueError,
        match=r"does not fit this config; give the config .* with: its weights do not fit its model",
    ):
        export_student(other, checkpoint, tmp_path / "student.pth")
    assert not list(tmp_path.glob("student*"))
