"""What a checkpoint says of itself against what a config makes of it."""

from pathlib import Path

import pytest

from pointmcd.engine import load_config
from pointmcd.engine.agreement import check_agreement, check_backbone, statement, statement_of

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
    if how == "stated":
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
