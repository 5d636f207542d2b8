"""Features, verification, transfer to part segmentation, and the evaluation as it is typed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.engine import load_config
from pointmcd.evaluation.features import Features, FeatureSet
from pointmcd.models.point_model import PointModel
from projects.cross_correspondence import evaluate
from projects.cross_correspondence.cross_correspondence import FrozenPointModel
from projects.cross_correspondence.cross_correspondence.features import extract, load_model, verification
from projects.cross_correspondence.cross_correspondence.part_segmentation import transfer_config
from projects.cross_correspondence.cross_correspondence.protocols import measure

PROJECT = Path(__file__).resolve().parents[1]
CONFIG = PROJECT / "configs/cross_correspondence_dgcnn_builtin.py"
TOOLS = PROJECT.parents[1] / "tools"
PARTS = PROJECT / "configs/part_segmentation_builtin.py"
SMALL = {
    "train_dataloader.dataset.num_points": 128,
    "train_dataloader.batch_size": 8,
    "model.data_preprocessor.transforms.0.num_points": 64,
    "model.data_preprocessor.transforms.5.size": 32,
    "model.view_encoder.size": 32,
    "model.backbone.channels": (8, 16),
    "model.backbone.k": 4,
    "model.backbone.out_channels": 32,
}


def typed(overrides):
    return [f"{key}={value}" for key, value in overrides.items()]


def small_config(data):
    return load_config(CONFIG, {"data_root": str(data), **SMALL})


@pytest.fixture(scope="module")
def checkpoint(parts_set, tmp_path_factory):
    """The networks of the config with the weights of another seed."""
    config = small_config(parts_set)
    config.randomness.seed = 7
    path = tmp_path_factory.mktemp("correspondence") / "epoch_1.pth"
    torch.save({"state_dict": load_model(config, None).state_dict()}, path)
    return path


def test_features_are_those_of_single_shapes(parts_set):
    model = load_model(small_config(parts_set), None)
    points, views = extract(model, str(parts_set), "test", num_points=64, num_views=5, batch_size=4)
    split = PreparedSet(parts_set).split("test")
    assert points.names == views.names == split.names
    for row in (0, 5):
        cloud = torch.from_numpy(split.points[row, :64].copy())[None]
        images = torch.from_numpy(np.stack([split.views.read(row, view) for view in range(5)]))
        one = model(points=cloud, views=images.permute(0, 3, 1, 2)[None])
        torch.testing.assert_close(torch.from_numpy(points.values[row]), one["point_feats"][0])
        torch.testing.assert_close(torch.from_numpy(views.values[row]), one["view_feats"][0])


def test_the_same_views_are_drawn_again(parts_set):
    model = load_model(small_config(parts_set), None)
    draws = [
        extract(model, str(parts_set), "train", 64, num_views=2, seed=seed)[1].values for seed in (3, 3, 4)
    ]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()


class Oracle(torch.nn.Module):
    """Says "same" where a feature's first channel agrees with the cloud's, whatever that is."""

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def verify(self, views, clouds):
        same = (views[..., 0] == clouds[..., 0]).float()
        return torch.stack([1 - same, same], -1)


def test_verification_counts_right_answers():
    rows = np.arange(50, dtype=np.float32)
    labels, names = np.zeros(50, np.int64), [str(row) for row in range(50)]
    points = Features(rows[:, None], labels, names)
    right = Features(np.stack([rows] * 3, 1)[..., None], labels, names)
    found = verification(Oracle(), points, right)
    assert found["verification"] == 100
    assert found["verification, same object"] == found["verification, two objects"] == 100
    assert found["distance, same object"] == 0
    assert found["distance, two objects"] >= 1
    # One of the three views is of no object: of two drawn views it is one in two of three cases.
    strange = right.values.copy()
    strange[:, 2] = -1
    found = verification(Oracle(), points, Features(strange, labels, names))
    assert found["verification, two objects"] == 100
    # 50 draws with a mean of 2/3 and a standard deviation of 0.236 each
    assert found["verification, same object"] == pytest.approx(200 / 3, abs=4 * 23.6 / 50**0.5)


def test_figures_of_features_that_say_the_class():
    rng = np.random.default_rng(0)

    def made(count, views):
        labels = np.arange(count) % 4
        shape = (count, views, 8) if views else (count, 8)
        noise = rng.normal(0, 0.01, shape)
        code = np.eye(8)[labels]
        return Features((code[:, None] if views else code) + noise, labels, [str(n) for n in range(count)])

    def features(views):
        splits = {"train": made(24, views), "test": made(12, views)}
        return FeatureSet(
            {name: Features(np.float32(one.values), one.labels, one.names) for name, one in splits.items()},
            list("abcd"),
            {},
        )

    found = measure(Oracle(), features(0), features(3), [1, 3], seed=0)
    for name in ("3D recognition", "2D recognition, 1 view", "2D recognition, 3 views", "3D retrieval"):
        assert found[name] == 100
    assert found["2D retrieval, 3 views"] == found["2D retrieval, 3 views, query counted"] == 100
    assert len(found) == 1 + 2 + 2 + 4 + 5


def test_transfer_takes_the_backbone_of_the_pretraining(parts_set, checkpoint):
    backbone = small_config(parts_set).model.backbone

    options = [f"data_root={parts_set}", "train_dataloader.dataset.num_points=64"]

    def config(start):
        return transfer_config(PARTS, options, backbone, checkpoint, start, 50)

    frozen, tuned, scratch = (config(start) for start in ("frozen", "finetuned", "scratch"))
    assert frozen.model.type == "FrozenPointModel"
    assert tuned.model.type == scratch.model.type == "PointModel"
    assert frozen.model.backbone == backbone
    assert frozen.train_dataloader.dataset.label_fraction == 0.5
    hooks = [{hook["type"] for hook in one.custom_hooks} for one in (frozen, tuned, scratch)]
    assert ["PretrainedBackboneHook" in types for types in hooks] == [True, True, False]
    with pytest.raises(ValueError, match="choose scratch, frozen, finetuned"):
        config("warm")


def test_a_frozen_backbone_stays_as_it_is():
    torch.manual_seed(0)
    options = dict(
        backbone=dict(type="DGCNN", channels=(4, 4), k=3, out_channels=8),
        head=dict(type="PartSegmentationHead", num_classes=2, num_parts=3, channels=(8, 8)),
    )
    model = FrozenPointModel(**options).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    batch = {
        "points": torch.randn(4, 16, 3),
        "label": torch.tensor([0, 1, 0, 1]),
        "parts": torch.randint(3, (4, 16)),
    }
    model(mode="loss", **batch)["loss_task"].backward()
    optimizer.step()
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]) == (
            key.startswith("backbone.") or (key.endswith("num_batches_tracked") and value == 0)
        ), key
    assert model.state_dict().keys() == PointModel(**options).state_dict().keys()


def test_evaluation_as_it_is_typed(parts_set, checkpoint, tmp_path):
    options = typed({"data_root": parts_set, **SMALL})
    parts = ["train_cfg.max_epochs=1", "train_dataloader.batch_size=6"]
    parts += [f"{loader}_dataloader.dataset.num_points=64" for loader in ("train", "test")]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "projects.cross_correspondence.evaluate", CONFIG, checkpoint),
            *("--out", tmp_path, "--seeds", "2"),
            *("--views", "1", "3", "--cfg-options", *options, "--part-config", PARTS, "--labels", "25"),
            *("--starts", "scratch", "frozen", "--part-options", f"data_root={parts_set}", *parts),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT.parents[1],
    )
    assert done.returncode == 0, done.stderr
    assert "Part segmentation by transfer" in done.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["digest"] == PreparedSet(parts_set).digest
    trained, random = report["features"]["trained"], report["features"]["random weights"]
    assert trained.keys() == random.keys()
    assert trained["3D retrieval"] != random["3D retrieval"]
    assert trained["3D retrieval"]["mean"] < trained["3D retrieval, query counted"]["mean"]
    assert [row["start"] for row in report["part_segmentation"]] == ["scratch", "frozen"]
    assert all(0 <= row["instance_miou"] <= 100 for row in report["part_segmentation"])
    views = FeatureSet.load(tmp_path / "views.npz").split("test")
    assert views.values.shape == (6, 3, 512)
    assert FeatureSet.load(tmp_path / "points.npz").split("train").values.shape == (12, 512)
    for tool, options in (("linear_svm", ["--runs", "1"]), ("retrieval", [])):
        command = [sys.executable, TOOLS / f"{tool}.py", tmp_path / "points.npz", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr


def test_a_checkpoint_of_other_networks_is_refused(parts_set, checkpoint):
    config = small_config(parts_set)
    config.model.point_channels = 64
    with pytest.raises(ValueError, match="does not fit the config"):
        load_model(config, checkpoint)
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        load_model(config, "none.pth")


@pytest.mark.parametrize(
    ("name", "value"),
    [("backbone.k", 3), ("view_encoder.size", 48), ("view_encoder.normalization", "symmetric")],
)
def test_arguments_that_are_not_in_the_weights_are_compared(parts_set, tmp_path, name, value):
    config = small_config(parts_set)
    path = tmp_path / "epoch_1.pth"
    state = load_model(config, None).state_dict()
    torch.save({"state_dict": state, "meta": {"cfg": config.pretty_text}}, path)
    load_model(config, path)
    config.merge_from_dict({f"model.{name}": value})
    with pytest.raises(ValueError, match=rf"model\.{name}: \w+ in the checkpoint, {value} here"):
        load_model(config, path)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("--views 1", "--views is 1, must be .* verification takes two views"),
        ("--views 0 4", "--views is 0 4, must be 1 or more"),
        ("--seeds 0", "--seeds is 0, must be at least 1"),
        ("--labels 0 5", "--labels holds 0, must be percent"),
    ],
)
def test_numbers_are_checked_before_any_work(wrong, reason):
    with pytest.raises(SystemExit, match=reason):
        evaluate.main(["config.py", "epoch_1.pth", *wrong.split()])


def test_verification_takes_two_views_of_two_shapes():
    for shape in ((3, 1, 4), (1, 3, 4)):
        names = [str(row) for row in range(shape[0])]
        views = Features(np.zeros(shape, np.float32), np.zeros(shape[0], np.int64), names)
        with pytest.raises(ValueError, match=f"there are {shape[0]} shapes of {shape[1]} views"):
            verification(Oracle(), views, views)
