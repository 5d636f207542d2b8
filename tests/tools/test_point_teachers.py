"""cache_teacher.py --student and --average: who speaks of which shape, and whose labels were seen."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from pointmcd.apis import export_student
from pointmcd.commands import cache_teacher, train
from pointmcd.datasets.label_choice import Labels, fold_numbers, labelled_rows
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.datasets.teacher_cache import TeacherCache
from pointmcd.engine import load_config
from pointmcd.evaluation.cross_fitting import Member, cross_fitted
from pointmcd.registry import MODELS

CONFIG = Path(__file__).resolve().parents[2] / "configs/baseline_pointnet_meshes.py"
LABELS = {"label_fraction": 0.84, "fraction_seed": 1, "unlabelled": "rest"}  # 5 of 6 shapes of each class


@pytest.fixture(scope="module")
def place(tiny_set, tmp_path_factory):
    """A set, and the checkpoints of three students, each trained without one of three folds."""
    folder = tmp_path_factory.mktemp("points")
    root = shutil.copytree(tiny_set, folder / "set")
    for fold in range(3):
        fit(root, folder / f"fold{fold}", without_fold=(fold, 3))
    fit(root, folder / "whole")
    return folder


def options(root, **dataset):
    words = {"data_root": root, "train_cfg.max_epochs": 1, "train_cfg.val_interval": 1}
    words |= {"train_dataloader.batch_size": 8, "train_dataloader.dataset.num_points": 32}
    words |= {"test_dataloader.dataset.num_points": 32, "val_dataloader.dataset.num_points": 32}
    words |= {f"train_dataloader.dataset.{name}": value for name, value in {**LABELS, **dataset}.items()}
    return [f"{name}={value}" for name, value in words.items()]


def fit(root, folder, **dataset):
    train.main([str(CONFIG), "--work-dir", str(folder), "--cfg-options", *options(root, **dataset)])


def cached(place, *words, name="points"):
    cache_teacher.main([*map(str, words), "--data", str(place / "set"), "--name", name])
    return TeacherCache(place / "set", name)


def checkpoints(place, *numbers):
    return [place / f"fold{number}/epoch_1.pth" for number in numbers]


def said_by(checkpoint, root, split="train"):
    """The student's log-probabilities, in plain steps."""
    saved = torch.load(checkpoint, weights_only=True)
    config = load_config(checkpoint.parents[1] / "fold0/baseline_pointnet_meshes.py")
    model = MODELS.build({"type": "PointModel", "backbone": config.model.backbone, "head": config.model.head})
    model.load_state_dict({k: v for k, v in saved["state_dict"].items() if not k.startswith("data_")})
    dataset = PreparedShapes(str(root), split, num_points=32)
    with torch.inference_mode():
        points = dataset.__getitems__(range(len(dataset)))["points"]
        return log_softmax(model.eval()(points=points)["logits"].double().numpy(), 1)


def test_each_labelled_shape_is_spoken_of_by_who_has_not_seen_its_label(place, capsys):
    cache = cached(place, "--student", *checkpoints(place, 2, 0, 1))
    root = place / "set"
    rows = cache.split("train").rows(np.arange(24))
    truth = PreparedSet(root).split("train").labels
    labelled = labelled_rows(truth, "train", 0.84, 1)
    assert len(labelled) == 20
    numbers = fold_numbers(truth[labelled], 3, 1)
    said = [said_by(path, root) for path in checkpoints(place, 0, 1, 2)]
    expected = np.mean(said, 0)
    for row, number in zip(labelled, numbers, strict=True):
        expected[row] = said[number][row]
        trained_on = PreparedShapes(str(root), "train", num_points=1, without_fold=(number, 3), **LABELS)
        assert not trained_on.labelled[row]
    np.testing.assert_allclose(rows["logits"], expected, atol=2e-5)
    assert (rows["has_logits"] == 1).all()
    assert cache.meta["accuracy"].keys() == {"train", "unlabelled", "test"}
    right = 100 * (expected.argmax(1) == truth)
    assert cache.meta["accuracy"]["train"]["overall_accuracy"] == pytest.approx(right.mean())
    rest = np.setdiff1d(np.arange(24), labelled)
    assert cache.meta["accuracy"]["unlabelled"]["overall_accuracy"] == pytest.approx(right[rest].mean())
    assert "unlabelled" in capsys.readouterr().out
    assert [fold["member"] for fold in cache.meta["folds"]] == [1, 2, 0]
    PreparedShapes(str(root), "train", num_points=1, teacher="points", **LABELS)
    with pytest.raises(ValueError, match="has seen the labels of 20 shapes"):
        PreparedShapes(str(root), "train", num_points=1, teacher="points")


def test_one_student_speaks_of_all(place):
    cache = cached(place, "--student", place / "whole/epoch_1.pth", name="own")
    for split in ("train", "test"):
        expected = said_by(place / "whole/epoch_1.pth", place / "set", split)
        rows = cache.split(split).rows(np.arange(len(expected)))
        np.testing.assert_allclose(rows["logits"], expected, atol=2e-5)
    assert cache.meta["labels"]["count"] == 20
    one = cached(place, "--student", *checkpoints(place, 1), name="own")
    kept = PreparedShapes(str(place / "set"), "train", num_points=1, without_fold=(1, 3), **LABELS)
    assert one.meta["labels"]["count"] == kept.labelled.sum()
    assert "without_fold" in one.meta["labels"]


def test_classes_with_fewer_shapes_than_folds_are_spoken_of_by_nobody(place, caplog):
    prepared = PreparedSet(place / "set")
    rng = np.random.default_rng(0)
    logits = {split: rng.normal(size=(len(prepared.split(split)), 4)) for split in prepared.splits}
    members = [Member(logits, Labels("train", 0.34, 0, (fold, 3)), {}) for fold in range(3)]
    opinion = cross_fitted(prepared, members)
    seen = labelled_rows(prepared.split("train").labels, "train", 0.34)
    assert np.array_equal(np.flatnonzero(~opinion.spoken["train"]), seen)
    assert opinion.record["in_no_fold"] == 8
    assert "4 classes have fewer than 3 labelled shapes; their 8 shapes" in caplog.text


def test_the_average_is_that_of_the_log_probabilities(place, capsys):
    cached(place, "--student", *checkpoints(place, 0, 1, 2))
    cached(place, "--student", place / "whole/epoch_1.pth", name="own")
    both = cached(place, "--average", "points", "own", "--shares", "3", "1", name="both")
    parts = [TeacherCache(place / "set", name).split("train").arrays["logits"] for name in ("points", "own")]
    first, second = (log_softmax(np.asarray(part, np.float64), 1) for part in parts)
    written = both.split("train").rows(np.arange(24))["logits"]
    np.testing.assert_allclose(written, 0.75 * first + 0.25 * second, atol=1e-5)
    assert both.meta["labels"] == TeacherCache(place / "set", "own").meta["labels"]
    assert [member["share"] for member in both.meta["members"]] == [0.75, 0.25]
    shown = capsys.readouterr().out
    own = TeacherCache(place / "set", "own").meta["accuracy"]["unlabelled"]["overall_accuracy"]
    assert f"{own:.1f}" in shown
    assert "average" in shown
    PreparedShapes(str(place / "set"), "train", num_points=1, teacher="both", **LABELS)


def test_what_does_not_fit_is_named(place, tmp_path):
    root = place / "set"
    with pytest.raises(SystemExit, match=r"2 checkpoints must be those of 2 folds.*\(0, 3\), \(1, 3\)"):
        cached(place, "--student", *checkpoints(place, 0, 1), name="no")
    with pytest.raises(SystemExit, match=r"must be those of 3 folds"):
        cached(place, "--student", *checkpoints(place, 0, 1), place / "whole/epoch_1.pth", name="no")
    config = load_config(place / "whole/baseline_pointnet_meshes.py")
    export_student(config, place / "whole/epoch_1.pth", tmp_path / "student.pth")
    with pytest.raises(SystemExit, match="does not say which labels it was trained on"):
        cached(place, "--student", tmp_path / "student.pth", name="no")
    cached(place, "--student", place / "whole/epoch_1.pth", name="own")
    cached(place, "--student", *checkpoints(place, 1), name="less")
    with pytest.raises(SystemExit, match="have seen different labels"):
        cached(place, "--average", "own", "less", name="no")
    with pytest.raises(SystemExit, match="--shares has 1 numbers for 2 teachers"):
        cached(place, "--average", "own", "own", "--shares", "1", name="no")
    for share in ("nan", "inf", "0"):
        with pytest.raises(SystemExit, match=f"--shares has {share}; give each teacher a finite number"):
            cached(place, "--average", "own", "less", "--shares", share, "1", name="no")
    for same in (["own"], ["own", "own"]):
        with pytest.raises(SystemExit, match="an average takes two different teachers or more"):
            cached(place, "--average", *same, name="no")
    assert not (root / "teachers/no").exists()
    with pytest.raises(ValueError, match=r"without_fold is \(3, 3\)"):
        PreparedShapes(str(root), "train", num_points=1, without_fold=(3, 3))


def test_students_of_unknown_labels_are_refused(place, tmp_path):
    saved = torch.load(place / "whole/epoch_1.pth", weights_only=True)
    text = saved["meta"]["cfg"]
    saved["meta"]["cfg"] = text.replace("load_from = None", "load_from = 'elsewhere.pth'")
    torch.save(saved, tmp_path / "further.pth")
    with pytest.raises(SystemExit, match="began with the weights of another training"):
        cached(place, "--student", tmp_path / "further.pth", name="no")
    saved["meta"]["cfg"] = text
    saved["meta"]["statement"]["data_digest"] = "0" * 64
    torch.save(saved, tmp_path / "other.pth")
    with pytest.raises(SystemExit, match="was trained on another set"):
        cached(place, "--student", tmp_path / "other.pth", name="no")
