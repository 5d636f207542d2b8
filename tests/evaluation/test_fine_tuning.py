"""Fine-tuning: how long, on what, from where, and the tool with its report."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from pointmcd.commands import finetune as finetune_command
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.evaluation.bootstrap import paired_difference, shape_scores
from pointmcd.evaluation.encoders import build_encoder
from pointmcd.evaluation.fine_tuning import run_config, schedule
from pointmcd.registry import DATASETS

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = REPOSITORY / "configs/baseline_pointnet_modelnet.py"


def options(data, *more):
    points = [f"{split}_dataloader.dataset.num_points=32" for split in ("train", "val", "test")]
    return [f"data_root={data}", "train_dataloader.batch_size=8", "train_cfg.max_epochs=2", *points, *more]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("pretrained") / "epoch_1.pth"
    torch.save({"state_dict": build_encoder({"backbone": {"type": "PointNet"}}, seed=5).state_dict()}, path)
    return path


def test_schedule_by_hand():
    # 1249 shapes, batch 32: 39 iterations an epoch, 3900 in all
    assert schedule(1249, 1249, 32, 100) == (32, 100)
    assert schedule(1249, 625, 32, 100) == (32, 103)  # 19 an epoch, half of 3900
    assert schedule(1249, 64, 32, 100) == (32, 488)  # 2 an epoch, a quarter of 3900
    assert schedule(1249, 20, 32, 100) == (20, 975)
    assert schedule(1249, 64, 32, 100, min_share=1.0) == (32, 1950)
    assert schedule(24, 4, 32, 1) == (4, 1)


@example(shapes=84, share=0.6796875, batch_size=12, epochs=376, min_share=0.5)  # 446.5 epochs
@given(
    shapes=st.integers(2, 5000),
    share=st.floats(0.0005, 1),
    batch_size=st.integers(2, 128),
    epochs=st.integers(1, 500),
    min_share=st.floats(0.01, 1),
)
def test_schedule_makes_the_iterations_it_promises(shapes, share, batch_size, epochs, min_share):
    labelled = max(2, round(share * shapes))
    batch, found = schedule(shapes, labelled, batch_size, epochs, min_share)
    assert 2 <= batch <= labelled
    an_epoch = labelled // batch
    wanted = (
        max(Fraction(min_share), Fraction(labelled, shapes)) * epochs * (shapes // min(batch_size, shapes))
    )
    assert abs(found * an_epoch - wanted) <= max(an_epoch / 2, 1)  # to half an epoch; one epoch at least
    if labelled == shapes:
        assert (batch, found) == (min(batch_size, shapes), epochs)


def test_both_sides_have_one_recipe_and_the_same_shapes(taught_set, checkpoint):
    sides = [run_config(CONFIG, options(taught_set), 0.5, 3, start) for start in (None, checkpoint)]
    rows = [DATASETS.build(config.train_dataloader.dataset).rows for config in sides]
    np.testing.assert_array_equal(*rows)
    labels = PreparedSet(taught_set).split("train").labels
    assert np.bincount(labels[rows[0]]).tolist() == [3, 3, 3, 3]
    scratch, pretrained = (config.to_dict() for config in sides)
    hooks = pretrained["custom_hooks"][len(scratch["custom_hooks"]) :]
    assert hooks == [{"type": "PretrainedBackboneHook", "checkpoint": str(checkpoint)}]
    pretrained["custom_hooks"] = scratch["custom_hooks"]
    assert scratch == pretrained
    assert scratch["randomness"]["seed"] == 3
    # 3 iterations an epoch become 1; half of 6 are 3
    assert scratch["train_cfg"]["max_epochs"] == scratch["param_scheduler"][0]["T_max"] == 3
    other = run_config(CONFIG, options(taught_set), 0.5, 4)
    assert DATASETS.build(other.train_dataloader.dataset).rows.tolist() != rows[0].tolist()


def test_shapes_without_labels_are_left_out(taught_set):
    """Also of a recipe that has them beside the labelled ones: a fraction of the labels is all there is."""
    plain = run_config(CONFIG, options(taught_set), 0.5)
    mixed = run_config(CONFIG, options(taught_set, "train_dataloader.dataset.unlabelled=rest"), 0.5)
    rows, others = (DATASETS.build(config.train_dataloader.dataset).rows for config in (plain, mixed))
    assert np.array_equal(rows, others)
    assert plain.train_cfg.max_epochs == mixed.train_cfg.max_epochs


@pytest.mark.parametrize(
    ("config", "more", "message"),
    [
        ("pointmcd_pointnet_unlabelled", [], "has no task to fine-tune for"),
        (
            "baseline_pointnet_modelnet",
            ["param_scheduler.0.T_max=2"],
            "CosineAnnealingLR does not follow",
        ),
    ],
)
def test_configs_that_cannot_be_fine_tuned(taught_set, config, more, message):
    base = options(taught_set) if config.startswith("baseline") else [f"data_root={taught_set}"]
    with pytest.raises(ValueError, match=message):
        run_config(REPOSITORY / f"configs/{config}.py", [*base, *more], 0.5)


def test_scores_of_both_tasks():
    classified = {"labels": [0, 1, 2], "predictions": [0, 2, 2]}
    assert shape_scores(classified).tolist() == [1, 0, 1]
    assert shape_scores({**classified, "ious": [0.5, 0.25, 1]}).tolist() == [0.5, 0.25, 1]


@pytest.fixture
def finetune(capsys):
    def run(*words):
        capsys.readouterr()
        finetune_command.main([str(word) for word in words])
        return capsys.readouterr().out

    return run


def test_the_tool_reports_and_goes_on_where_it_stopped(finetune, taught_set, checkpoint, tmp_path):
    words = (CONFIG, "--pretrained", checkpoint, "--fractions", 50, 100, "--out", tmp_path)
    said = finetune(*words, "--seeds", 0, "--cfg-options", *options(taught_set))
    assert "scratch_50_s0: 12 labelled shapes, 3 iterations" in said
    assert "pretrained_100_s0: 24 labelled shapes, 6 iterations" in said
    report = json.loads((tmp_path / "finetune.json").read_text())
    for row in report["fractions"]:
        runs = {
            side: json.loads((tmp_path / f"{side}_{row['percent']:g}_s0/result.json").read_text())
            for side in ("scratch", "pretrained")
        }
        right = {side: np.equal(run["labels"], run["predictions"]) for side, run in runs.items()}
        for side in runs:
            assert row[side]["mean"] == pytest.approx(100 * right[side].mean())
        expected = paired_difference(right["scratch"][None], right["pretrained"][None])
        found = row["difference"]
        assert (found["mean"], found["low"], found["high"]) == pytest.approx(expected)

    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/epoch_*.pth")}
    assert len(before) == 4
    (tmp_path / "scratch_50_s0/result.json").unlink()  # as if it had stopped before the test
    again = finetune(*words, "--seeds", 0, "--cfg-options", *options(taught_set))
    assert again.count("labelled shapes") == 1
    assert json.loads((tmp_path / "finetune.json").read_text()) == report
    assert {path: path.stat().st_mtime_ns for path in before} == before

    told = r"holds a run with another cfg_options, epochs \(3, now 6\); give another --out"
    with pytest.raises(SystemExit, match=told):
        finetune(*words, "--seeds", 0, "--cfg-options", *options(taught_set, "train_cfg.max_epochs=4"))
    edited = tmp_path / CONFIG.name
    edited.write_text(f'_base_ = "{CONFIG}"\noptim_wrapper = dict(optimizer=dict(lr=1e-7))\n')
    with pytest.raises(SystemExit, match="holds a run with another complete_config"):
        finetune(edited, *words[1:], "--seeds", 0, "--cfg-options", *options(taught_set))


def test_part_segmentation_is_fine_tuned_too(finetune, parts_set, tmp_path):
    state = build_encoder({"backbone": {"type": "PointNet"}}, seed=5).state_dict()
    torch.save({"state_dict": state}, tmp_path / "pretrained.pth")
    finetune(
        REPOSITORY / "configs/baseline_pointnet_builtinpart.py", "--pretrained", tmp_path / "pretrained.pth",
        "--fractions", 100, "--seeds", 0, "--out", tmp_path / "out",
        "--cfg-options", *options(parts_set, "train_cfg.max_epochs=1"),
    )  # fmt: skip
    (row,) = json.loads((tmp_path / "out/finetune.json").read_text())["fractions"]
    run = json.loads((tmp_path / "out/scratch_100_s0/result.json").read_text())
    assert row["metric"] == "instance_miou"
    assert row["scratch"]["mean"] == pytest.approx(100 * np.mean(run["ious"]))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fractions", "0"], "percentages above 0"),
        (["--min-share", "2"], "--min-share is 2.0"),
        (["--seeds", "1", "1"], "--seeds 1 1: give different numbers"),
        (["--pretrained", "a.pth", "b.pth"], "2 checkpoints for 3 seeds"),
        (["--pretrained", "none.pth"], "there is no checkpoint none.pth"),
    ],
)
def test_mistakes_are_named_before_anything_runs(finetune, tmp_path, checkpoint, words, message):
    with pytest.raises(SystemExit, match=message):
        finetune(CONFIG, "--pretrained", checkpoint, "--out", tmp_path / "out", *words)
    assert not (tmp_path / "out").exists()


def test_another_backbone_is_named_before_anything_runs(finetune, taught_set, checkpoint, tmp_path):
    state = build_encoder({"backbone": {"type": "DGCNN"}}).state_dict()
    torch.save({"state_dict": state}, tmp_path / "other.pth")
    words = (CONFIG, "--pretrained", checkpoint, tmp_path / "other.pth", "--seeds", 0, 1)
    with pytest.raises(SystemExit, match=r"other\.pth does not hold the backbone of this config"):
        finetune(*words, "--out", tmp_path / "out", "--cfg-options", *options(taught_set))
    assert not (tmp_path / "out").exists()
