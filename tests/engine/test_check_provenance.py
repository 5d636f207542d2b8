"""What a checkpoint says of its training, against the config that it is used with."""

import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from pointmcd.apis import export_student
from pointmcd.checkpoint import write_checkpoint
from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.engine import load_config
from pointmcd.engine.check_provenance import check_provenance, provenance
from pointmcd.registry import MODELS

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def config_of(root, name="baseline_dgcnn_modelnet", **overrides):
    points = {f"{split}_dataloader.dataset.num_points": 64 for split in ("train", "val", "test")}
    more = {key.replace("__", "."): value for key, value in overrides.items()}
    return load_config(CONFIGS / f"{name}.py", {"data_root": str(root), **points, **more})


@pytest.fixture
def saved(taught_set):
    """What MMEngine stores of a training of the distilled student."""
    config = config_of(taught_set, "pointmcd_dgcnn_modelnet", model__backbone__k=8)
    data = PreparedShapes(str(taught_set), "train", num_points=64).metainfo
    return {"meta": {"cfg": config.pretty_text, "dataset_meta": copy.deepcopy(data)}, "state_dict": {}}


def test_the_text_of_a_config_is_read_as_data(taught_set, tmp_path):
    config = config_of(taught_set)
    said = provenance({"meta": {"cfg": config.pretty_text}}).config
    for name in ("model", "train_dataloader", "test_dataloader"):
        assert said[name] == Config({"it": config[name]}).it
    hostile = f"model = dict(backbone=open({str(tmp_path / 'ran')!r}, 'w'))\ntrain_dataloader = dict(a=1)\n"
    hostile += f"open({str(tmp_path / 'ran')!r}, 'w')"
    assert provenance({"meta": {"cfg": hostile}}).config.to_dict() == {"train_dataloader": {"a": 1}}
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "meta",
    [
        None,
        [],
        {"cfg": 3, "dataset_meta": 3},
        {"cfg": "model = ("},
        {"cfg": "model = " + "[" * 10**4},
        {"cfg": "model = dict(backbone=3)\ntest_dataloader = 4"},
    ],
    ids=["none", "list", "numbers", "broken", "deep", "other"],
)
def test_a_checkpoint_that_says_nothing_is_not_compared(taught_set, meta):
    check_provenance({"meta": meta}, config_of(taught_set))


@pytest.mark.parametrize("name", ["pointmcd_dgcnn_modelnet", "baseline_dgcnn_modelnet"])
def test_the_same_network_and_data_pass(saved, taught_set, name):
    """Arguments that are the defaults, weights of losses and the number of points make no difference."""
    config = config_of(
        taught_set,
        name,
        model__backbone={"_delete_": True, "type": "DGCNN", "k": 8, "out_channels": 1024},
        model__head__loss_weight=2.0,
        test_dataloader__dataset__num_points=32,
    )
    check_provenance(saved, config)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({}, r"^model.backbone.k: 8 in the checkpoint's training, 20 here$"),
        ({"model__backbone__type": "PointNet"}, "model.backbone.type: DGCNN in .*, PointNet here"),
        ({"model__backbone__k": 8, "model__head__channels": 64}, "model.head.channels: 512 in .*, 64 here"),
        ({"model__backbone__k": 8, "model__head": None}, "model.head: ClassificationHead in .*, None here"),
    ],
    ids=["k", "type", "head", "no head"],
)
def test_another_network_is_refused(saved, taught_set, overrides, message):
    with pytest.raises(ValueError, match=message):
        check_provenance(saved, config_of(taught_set, **overrides))


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (
            "classes",
            ["box", "cone", "cylinder", "ring"],
            r"classes: .*'ring'\] in .*'torus'\] here",
        ),
        ("up", "y", "points.up: y in the checkpoint's training, z here"),
        ("normalization", "unit", "points.normalization: unit in"),
    ],
)
def test_other_data_are_refused(saved, taught_set, where, value, message):
    data = saved["meta"]["dataset_meta"]
    (data if where in data else data["points"])[where] = value
    with pytest.raises(ValueError, match=message):
        check_provenance(saved, config_of(taught_set, model__backbone__k=8))


def test_export_takes_the_number_of_points_of_the_training(saved, taught_set, tmp_path):
    config = config_of(taught_set, model__backbone__k=8, test_dataloader__dataset__num_points=32)
    saved["state_dict"] = MODELS.build(config.model).state_dict()
    write_checkpoint(tmp_path / "epoch_1.pth", saved)
    exported = export_student(config, tmp_path / "epoch_1.pth", tmp_path / "student.pth")
    assert exported["num_points"] == 64
    with pytest.raises(ValueError, match=r"epoch_1\.pth is not of this config: model\.backbone\.k: 8"):
        export_student(config_of(taught_set), tmp_path / "epoch_1.pth", tmp_path / "student.pth")
    saved["state_dict"]["head.classifier.weight"][0, 0] = torch.nan
    write_checkpoint(tmp_path / "epoch_2.pth", saved)
    with pytest.raises(ValueError, match=r"not finite \(NaN or infinite\): head\.classifier\.weight"):
        export_student(config, tmp_path / "epoch_2.pth", tmp_path / "other.pth")
    assert not (tmp_path / "other.pth").exists()
