"""Features: what is extracted, saved and loaded."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.engine import load_config
from pointmcd.evaluation.encoders import build_encoder, extract, load_encoder, points_seen, teacher_features
from pointmcd.evaluation.features import Features, FeatureSet
from pointmcd.registry import MODELS

CONFIG = Path(__file__).resolve().parents[2] / "configs/pointmcd_pointnet_modelnet.py"
POINTNET = {"backbone": {"type": "PointNet"}, "head": {"type": "ClassificationHead", "num_classes": 4}}


def trained(model, seed=1):
    """A model whose running statistics moved from where they start."""
    torch.manual_seed(seed)
    model = MODELS.build(model)
    model.train()
    for _ in range(2):
        model(points=torch.randn(8, 64, 3))
    return model.eval()


@pytest.mark.parametrize("kind", ["max", "mean", "max+mean", "descriptor"])
def test_features_are_what_the_kind_says(taught_set, kind):
    model = trained({"type": "PointModel", **POINTNET})
    dataset = PreparedShapes(taught_set, "test", num_points=100)
    found = extract(model, dataset, kind, batch_size=5)
    split = PreparedSet(taught_set).split("test")
    with torch.inference_mode():
        points = torch.tensor(split.points[:, :100])
        per_point = model.backbone(points)["point_feats"].numpy()
        features = model(points=points)
    expected = {
        "max": features["global_feats"].numpy(),
        "mean": per_point.mean(1),
        "max+mean": np.hstack([per_point.max(1), per_point.mean(1)]),
        "descriptor": features["descriptor"].numpy(),
    }[kind]
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found.labels, split.labels)
    assert found.names == split.names


def test_rows_of_a_part_of_the_training_split(taught_set):
    model = build_encoder(POINTNET)
    whole = extract(model, PreparedShapes(taught_set, "train", num_points=50))
    held_out = extract(model, PreparedShapes(taught_set, "held_out", num_points=50))
    rows = [whole.names.index(name) for name in held_out.names]
    assert 0 < len(rows) < len(whole.names)
    np.testing.assert_allclose(held_out.values, whole.values[rows], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(held_out.labels, whole.labels[rows])


@pytest.mark.parametrize(
    "backbone", [{"type": "DGCNN", "k": 8}, {"type": "DGCNNSeg", "k": 8}], ids=lambda config: config["type"]
)
def test_any_backbone_gives_features(taught_set, backbone):
    dataset = PreparedShapes(taught_set, "test", num_points=64)
    found = extract(build_encoder({"backbone": backbone}), dataset)
    assert found.values.shape == (12, 1024)
    assert found.values.std() > 0


def test_a_checkpoint_gives_the_features_of_its_model(taught_set, tmp_path):
    """Of a PointMCD, whose teacher and distillation heads are neither needed nor built."""
    config = load_config(CONFIG, {"data_root": str(taught_set)})
    model = MODELS.build(config.model)
    for _ in range(2):
        model.training_features(torch.randn(4, 100, 3), torch.ones(4, 100, dtype=torch.int32))
    torch.save({"state_dict": model.state_dict()}, tmp_path / "epoch_1.pth")
    config.model.teacher.name = "none"
    encoder = load_encoder(config.model, tmp_path / "epoch_1.pth")
    assert encoder.head is None
    with_head = load_encoder(config.model, tmp_path / "epoch_1.pth", with_head=True)
    with torch.inference_mode():
        points = torch.randn(3, 100, 3)
        expected = model.eval()(points=points)
        assert torch.equal(encoder(points=points)["global_feats"], expected["global_feats"])
        assert torch.equal(with_head(points=points)["descriptor"], expected["descriptor"])


def test_a_checkpoint_of_another_backbone_names_the_keys(tmp_path):
    torch.save({"state_dict": build_encoder(POINTNET).state_dict()}, tmp_path / "epoch_1.pth")
    with pytest.raises(
        ValueError, match=r"(?s)does not hold the backbone of this config \(DGCNN\).*missing.*unexpected"
    ):
        load_encoder({"backbone": {"type": "DGCNN"}}, tmp_path / "epoch_1.pth")
    with pytest.raises(ValueError, match="does not hold the head"):
        load_encoder(POINTNET, tmp_path / "epoch_1.pth", with_head=True)
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        load_encoder(POINTNET, tmp_path / "none.pth")


def test_random_encoders_repeat_and_leave_the_generator_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, same, other = (build_encoder(POINTNET, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(value, same[key]) for key, value in first.items())
    assert not all(torch.equal(value, other[key]) for key, value in first.items())


def test_a_model_without_the_feature_is_refused(taught_set):
    dataset = PreparedShapes(taught_set, "test", num_points=32)
    with pytest.raises(ValueError, match="no classification head"):
        extract(build_encoder(POINTNET), dataset, "descriptor")
    with pytest.raises(ValueError, match="choose max, mean"):
        extract(build_encoder(POINTNET), dataset, "median")
    with pytest.raises(ValueError, match="has no backbone"):
        build_encoder({"type": "MultiViewTeacher"})


def test_points_seen(taught_set):
    config = load_config(CONFIG, {"data_root": str(taught_set)})
    config.train_dataloader.dataset.num_points = 300
    assert points_seen(config) == config.test_dataloader.dataset.num_points == 1024
    config.test_dataloader = None
    assert points_seen(config) == 300
    config.model.data_preprocessor.transforms.append({"type": "RandomSubset", "num_points": 200})
    assert points_seen(config) == 200


def test_a_teacher_gives_its_view_descriptors(taught_set):
    found = teacher_features(taught_set, "mobilenetv2", "held_out")
    whole = np.load(taught_set / "teachers/mobilenetv2/train_view_descriptors.npy")
    names = PreparedSet(taught_set).split("train").names
    expected = whole[[names.index(name) for name in found.names]]
    np.testing.assert_array_equal(found.values, expected.astype(np.float32))
    np.testing.assert_array_equal(found.over_views().values, expected.astype(np.float32).max(1))


def test_views_are_drawn_for_each_shape():
    """Each view is a feature of its own (view v of any shape is v), so that a maximum names a view."""
    values = np.tile(np.arange(6, dtype=np.float32)[:, None], (500, 1, 1))
    features = Features(values, np.zeros(500, np.int64), ["x"] * 500)
    assert (features.over_views().values == 5).all()
    assert (features.over_views(pool="mean").values == 2.5).all()
    one = features.over_views(1).values.ravel()
    assert np.bincount(one.astype(int), minlength=6).min() > 50
    two = features.over_views(2).values
    assert two.min() >= 1  # two different views
    np.testing.assert_array_equal(two, features.over_views(2).values)
    with pytest.raises(ValueError, match="7 views were asked for, of the 6"):
        features.over_views(7)
    with pytest.raises(ValueError, match="no views to choose from"):
        features.over_views().over_views(2)
    with pytest.raises(ValueError, match="max or mean, not by 'sum'"):
        features.over_views(pool="sum")


def test_saved_features_load_without_pickle(tmp_path):
    rng = np.random.default_rng(0)
    splits = {
        "train": Features(rng.random((5, 3), np.float32), np.arange(5) % 2, [f"ä{i}" for i in range(5)]),
        "test": Features(rng.random((2, 4, 3), np.float32), np.array([1, 0]), ["a", "b"]),
    }
    about = {"source": "random", "nested": {"seed": 0, "points": [1, 2]}}
    FeatureSet(splits, ["chair", "table"], about).save(tmp_path / "deep/features.npz")
    found = FeatureSet.load(tmp_path / "deep/features.npz")
    assert (found.class_names, found.about) == (["chair", "table"], about)
    assert list(found.splits) == ["train", "test"]
    for name, features in splits.items():
        np.testing.assert_array_equal(found.split(name).values, features.values)
        np.testing.assert_array_equal(found.split(name).labels, features.labels)
        assert found.split(name).names == features.names
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["features.npz"]
    with pytest.raises(ValueError, match="no features of split 'val', only of train, test"):
        found.split("val")


def test_what_is_no_file_of_features_is_named(tmp_path):
    (tmp_path / "text.npz").write_text("nothing")
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    np.savez(tmp_path / "pickle.npz", class_names=np.array([{}], object), about=np.array("{}"))
    FeatureSet({}, [], {}).save(tmp_path / "whole.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:100])
    for name in ("text.npz", "array.npy", "other.npz", "pickle.npz", "cut.npz"):
        with pytest.raises(ValueError, match=re.escape(f"{name} is not a file of features")):
            FeatureSet.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        FeatureSet.load(tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("values", "labels", "message"),
    [
        (np.zeros(3), np.zeros(3, int), r"\(S, C\) or \(S, V, C\)"),
        (np.zeros((3, 2)), np.zeros(2, int), "3 features, 2 labels"),
        (np.full((3, 2), np.nan), np.zeros(3, int), "not finite"),
    ],
)
def test_features_that_do_not_fit_are_refused(values, labels, message):
    with pytest.raises(ValueError, match=message):
        Features(values, labels, ["x"] * 3)
