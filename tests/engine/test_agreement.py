"""What a checkpoint says of itself against what a config makes of it."""

from pathlib import Path

import pytest
import torch

from pointmcd.apis import export_student
from pointmcd.checkpoint import write_checkpoint
from pointmcd.engine import load_config
from pointmcd.engine.agreement import check_agreement, check_backbone, statement, statement_of
from pointmcd.registry import MODELS

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def config_of(data, *options, name="baseline_dgcnn_modelnet"):
    return load_config(CONFIGS / f"{name}.py", [f"data_root={data}", *options])


def checkpoint_of(config, how):
    """A checkpoint of this release, and one of before it stated anything."""
    if how == "stated":
        return {"meta": {"statement": statement(config)}}
    names = {"classes": statement(config)["class_names"]}
    return {"meta": {"cfg": config.pretty_text, "dataset_meta": names}}


@pytest.mark.parametrize("how", ["stated", "as a config"])
def test_what_agrees_and_what_may_differ(tiny_set, how):
    config = config_of(tiny_set)
    assert check_agreement(config, checkpoint_of(config, how), "a.pth") == []
    with_default = config_of(tiny_set, "model.backbone.k=20", "model.head.smoothing=0.1")
    assert check_agreement(with_default, checkpoint_of(config, how), "a.pth") == []
    distilled = config_of(tiny_set, name="pointmcd_dgcnn_modelnet")
    assert check_agreement(config, checkpoint_of(distilled, how), "a.pth") == []
    fewer = config_of(tiny_set, "test_dataloader.dataset.num_points=64")
    (note,) = check_agreement(fewer, checkpoint_of(config, how), "a.pth")
    assert note == "a.pth was trained on 1024 points of a shape; here it sees 64"
    other = checkpoint_of(config, "stated")
    other["meta"]["statement"]["data_digest"] = "another"
    (note,) = check_agreement(config, other, "a.pth")
    assert "another set of the same classes" in note


@pytest.mark.parametrize("how", ["stated", "as a config"])
def test_another_network_is_named_on_both_sides(tiny_set, how):
    saved = checkpoint_of(config_of(tiny_set), how)
    with pytest.raises(ValueError, match=r"model\.backbone\.k: 20 in the checkpoint, 10 here"):
        check_agreement(config_of(tiny_set, "model.backbone.k=10"), saved, "a.pth")
    with pytest.raises(ValueError, match=r"model\.backbone\.type: DGCNN in the checkpoint, PointNet here"):
        check_agreement(config_of(tiny_set, name="baseline_pointnet_modelnet"), saved, "a.pth")
    with pytest.raises(ValueError, match=r"model\.backbone\.k: 20 in the checkpoint, 7 here"):
        check_backbone({"type": "DGCNN", "k": 7}, saved, "a.pth")


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("class_names", ["a", "b", "c", "d"], "classes"),
        ("points", {"up": "y", "normalization": "bounding_box"}, r"points\.up: y in the checkpoint, z here"),
        ("points", {"up": "z", "normalization": "sphere"}, r"points\.normalization: sphere .* bounding_box"),
        ("class_parts", [[0]], "class_parts"),
    ],
)
def test_other_data_are_named(tiny_set, name, value, what):
    config = config_of(tiny_set)
    saved = checkpoint_of(config, "stated")
    saved["meta"]["statement"][name] = value
    with pytest.raises(ValueError, match=what):
        check_agreement(config, saved, "a.pth")


def test_the_config_in_a_checkpoint_is_read_not_run(tmp_path):
    text = f"model = dict(backbone=dict(type=open({str(tmp_path / 'ran')!r}, 'w')))\nx = [1, dict(a=(2,))]\n"
    assert statement_of({"meta": {"cfg": text}}) == {}
    assert statement_of({"meta": {"cfg": "("}}) == {}
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "meta",
    [
        None,
        [],
        {"cfg": 3, "dataset_meta": 3, "statement": 3},
        {"cfg": "model = " + "[" * 10**4},
        {"cfg": "model = dict(backbone=3)\ntest_dataloader = 4"},
        {"statement": {"network": [], "points": "z", "class_names": 3, "num_points": "many"}},
        {"statement": {"network": {"backbone": "DGCNN", "head": {"type": 3}}}},
    ],
    ids=["none", "list", "numbers", "deep", "other", "statement", "network"],
)
def test_what_says_nothing_that_is_known_is_not_compared(tiny_set, meta):
    config = config_of(tiny_set, "model.head=None")
    assert check_agreement(config, {"meta": meta}, "a.pth") == []


def test_export_writes_what_the_training_saw(tiny_set, tmp_path):
    config = config_of(tiny_set, "test_dataloader.dataset.num_points=64", "model.backbone.k=8")
    saved = checkpoint_of(config, "stated") | {"state_dict": MODELS.build(config.model).state_dict()}
    saved["meta"]["statement"]["points"]["seed"] = 7
    write_checkpoint(tmp_path / "epoch_1.pth", saved)
    fewer = config_of(tiny_set, "test_dataloader.dataset.num_points=32", "model.backbone.k=8")
    exported = export_student(fewer, tmp_path / "epoch_1.pth", tmp_path / "student.pth")
    assert (exported["num_points"], exported["points"]["seed"]) == (64, 7)
    with pytest.raises(ValueError, match=r"model\.backbone\.k: 8 in the checkpoint, 20 here"):
        export_student(config_of(tiny_set), tmp_path / "epoch_1.pth", tmp_path / "student.pth")
    saved["state_dict"]["head.classifier.weight"][0, 0] = torch.nan
    write_checkpoint(tmp_path / "epoch_2.pth", saved)
    with pytest.raises(ValueError, match=r"not finite \(NaN or infinite\): head\.classifier\.weight"):
        export_student(config, tmp_path / "epoch_2.pth", tmp_path / "other.pth")
    assert not (tmp_path / "other.pth").exists()


@pytest.mark.parametrize(("kind", "there", "here"), [("PointNet2SegMSG", 16, 32), ("PointNet2Seg", 32, 64)])
def test_defaults_of_before_are_those_of_a_checkpoint_of_before(kind, there, here, parts_set):
    """They had fewer neighbours at their first level; the weights fit both."""
    config = config_of(parts_set, f"model.backbone.type={kind}", name="baseline_dgcnn_shapenetpart")
    before = {"meta": {"cfg": f"model = dict(backbone=dict(type='{kind}'))"}}
    with pytest.raises(ValueError, match=rf"scales: .*'k': {there},.* in the checkpoint, .*'k': {here},"):
        check_agreement(config, before, "a.pth")
    config.model.backbone.scales = statement_of(before)["network"]["backbone"]["scales"]
    assert check_agreement(config, before, "a.pth") == []
    assert check_agreement(config, checkpoint_of(config, "stated"), "a.pth") == []
