"""Tools for frozen features: where features come from, what the reports hold."""

import json
import shutil
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from pointmcd.apis import export_student
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.engine import load_config
from pointmcd.evaluation.features import Features, FeatureSet
from pointmcd.registry import MODELS

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = REPOSITORY / "configs/pointmcd_pointnet_modelnet.py"
POINTS = "test_dataloader.dataset.num_points=64"


@pytest.fixture
def tool(monkeypatch, capsys):
    """Run a tool in this process, and return what it prints."""

    def run(name, *words):
        command = import_module(f"pointmcd.commands.{Path(name).stem}")
        monkeypatch.setattr(sys, "argv", [name])
        capsys.readouterr()
        command.main([str(word) for word in words])
        return capsys.readouterr().out

    return run


@pytest.fixture(scope="module")
def checkpoint(taught_set, tmp_path_factory):
    """A PointMCD that has seen a few batches."""
    config = load_config(CONFIG, {"data_root": str(taught_set)})
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    for _ in range(3):
        model.training_features(torch.randn(8, 64, 3), torch.ones(8, 64, dtype=torch.int32))
    path = tmp_path_factory.mktemp("work") / "epoch_1.pth"
    torch.save({"state_dict": model.state_dict(), "meta": {}}, path)
    return path


@pytest.fixture
def told_apart(tmp_path):
    """Features that tell 3 classes apart but for two test shapes, 12 to train on and 6 to test on."""
    rng = np.random.default_rng(0)

    def split(labels, seen_as):
        values = 10 * np.eye(3)[seen_as] + rng.normal(size=(len(labels), 3))
        return Features(values.astype(np.float32), np.array(labels), [f"s{i}" for i in range(len(labels))])

    train = np.repeat([0, 1, 2], 4)
    splits = {"train": split(train, train), "test": split([0, 0, 1, 1, 2, 2], [0, 0, 1, 0, 2, 1])}
    FeatureSet(splits, ["bed", "chair", "desk"], {"feature": "one-hot"}).save(tmp_path / "features.npz")
    return tmp_path / "features.npz"


def test_extract_from_a_checkpoint_and_from_an_export(tool, checkpoint, taught_set, tmp_path):
    config = load_config(CONFIG, [f"data_root={taught_set}", POINTS])
    export_student(config, checkpoint, tmp_path / "student.pth")
    options = ("--config", CONFIG, "--data", taught_set, "--cfg-options", POINTS)
    picture = tmp_path / "deep/picture.png"
    said = tool("extract_features.py", checkpoint, tmp_path / "a.npz", *options, "--picture", picture)
    assert "train: 24 x 1024\ntest: 12 x 1024" in said
    assert picture.stat().st_size > 10_000
    tool("extract_features.py", tmp_path / "student.pth", tmp_path / "b.npz", "--data", taught_set)
    first, second = FeatureSet.load(tmp_path / "a.npz"), FeatureSet.load(tmp_path / "b.npz")
    assert first.class_names == PreparedSet(taught_set).class_names
    for split in ("train", "test"):
        np.testing.assert_array_equal(first.split(split).values, second.split(split).values)
        assert first.split(split).names == PreparedSet(taught_set).split(split).names
    assert first.about["num_points"] == second.about["num_points"] == 64
    assert first.about["feature"] == "maximum of the backbone's point features"
    assert first.about["data_digest"] == PreparedSet(taught_set).digest

    tool("extract_features.py", "random:0", tmp_path / "c.npz", *options, "--feature", "descriptor")
    assert FeatureSet.load(tmp_path / "c.npz").split("test").values.shape == (12, 512)


def test_linear_svm_counts_and_feeds_compare_runs(tool, told_apart, tmp_path):
    report_path = tmp_path / "svm/report.json"
    report_path.parent.mkdir()
    (report_path.parent / "report_run7.json").write_text("{}")  # of an earlier call
    said = tool("linear_svm.py", told_apart, "--out", report_path, "--runs", 2, "--folds", 4)
    assert "feature: one-hot" in said
    report = json.loads(report_path.read_text())
    assert report["metrics"]["overall_accuracy"] == {"mean": pytest.approx(400 / 6), "std": 0.0}
    assert report["class_accuracy"] == {"bed": 100.0, "chair": 50.0, "desk": 50.0}
    assert report["spread"] == "standard deviation over 2 draws of the folds, one encoder"
    assert [run["fold_seed"] for run in report["runs"]] == [0, 1]
    runs = sorted(report_path.parent.glob("report_run*.json"))
    assert [path.name for path in runs] == ["report_run0.json", "report_run1.json"]
    assert json.loads(runs[0].read_text())["predictions"] == [0, 0, 1, 0, 2, 1]

    same = tool("compare_runs.py", "--first", *runs, "--second", *runs)
    assert "6 shapes, 2 seeds" in same
    assert "no interval: too few shapes, or none that differ" in same


def test_linear_svm_over_encoders_and_teachers(tool, taught_set, tmp_path):
    options = ("--config", CONFIG, "--data", taught_set, "--out", tmp_path / "svm.json")
    points = ("--num-points", 32)
    said = tool("linear_svm.py", "random:0", "random:1", "teacher:mobilenetv2", *options, *points)
    report = json.loads((tmp_path / "svm.json").read_text())
    assert report["spread"] == "standard deviation over 3 encoders, each with folds of its own"
    assert [run["features"]["source"] for run in report["runs"]] == [
        "random:0",
        "random:1",
        "teacher:mobilenetv2",
    ]
    assert report["runs"][2]["features"]["feature"] == "view descriptors of the teacher mobilenetv2"
    accuracies = [run["overall_accuracy"] for run in report["runs"]]
    assert report["metrics"]["overall_accuracy"]["std"] == pytest.approx(np.std(accuracies, ddof=1))
    assert f"{np.mean(accuracies):.2f} ±" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["random:0"], "random:0 does not name the data: give --data or --config"),
        (["random:0", "--data", "DATA"], "random:0 needs --config"),
        (["random:x", "--data", "DATA"], "there is no random:x; a source is a file, random:SEED"),
        (["none.pth", "--data", "DATA", "--config", CONFIG], "there is no none.pth"),
        (["CHECKPOINT", "--data", "DATA"], "needs --config"),
        (["teacher:none", "--data", "DATA"], "there is no finished cache"),
        (["FEATURES", "--splits", "train", "val"], "there are no features of split 'val'"),
        (["FEATURES", "--runs", "0"], "--runs is 0"),
        (["FEATURES", "--views", "2"], "no views to choose from"),
        (["FEATURES", "teacher:mobilenetv2", "--data", "DATA"], "are of different train shapes"),
        (["FEATURES", "FEATURES"], "is given twice; a source is one encoder"),
        (["FEATURES", "--feature", "mean"], "--feature is for encoders; files of features hold"),
        (["FEATURES", "--data", "DATA"], "--data is for encoders"),
        (["FEATURES", "--splits", "train", "train"], "--splits train train: train and train share shapes"),
        (["FEATURES", "--splits", "fit", "train"], "--splits fit train: fit and train share shapes"),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, list) else "",
)
def test_errors_are_plain(tool, taught_set, checkpoint, told_apart, tmp_path, words, message):
    places = {"DATA": taught_set, "CHECKPOINT": checkpoint, "FEATURES": told_apart}
    with pytest.raises(SystemExit) as end:
        tool("linear_svm.py", *(places.get(word, word) for word in words), "--out", tmp_path / "x.json")
    assert message in str(end.value)
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize("name", ["linear_svm", "few_shot", "retrieval", "extract_features"])
def test_no_report_takes_the_place_of_a_source(tool, told_apart, tmp_path, name):
    source = shutil.copy(told_apart, tmp_path / "mine.npz")
    with pytest.raises(SystemExit, match=r"mine\.npz is what is read"):
        tool(f"{name}.py", source, *([] if name == "extract_features" else ["--out"]), source)
    assert source.read_bytes() == told_apart.read_bytes()


def test_features_of_other_shapes_with_the_same_labels_are_refused(tool, told_apart, tmp_path):
    one = FeatureSet.load(told_apart)
    for name, changed in (
        (
            "names",
            {"splits": {k: replace(v, names=[f"{n}x" for n in v.names]) for k, v in one.splits.items()}},
        ),
        ("classes", {"class_names": ["x", *one.class_names[1:]]}),
    ):
        replace(one, **changed).save(tmp_path / f"{name}.npz")
        with pytest.raises(SystemExit, match="are of different train shapes"):
            tool("linear_svm.py", told_apart, tmp_path / f"{name}.npz")
    for name in "ab":
        replace(one, about={**one.about, "data_digest": name}).save(tmp_path / f"{name}.npz")
    with pytest.raises(SystemExit, match="are of different sets"):
        tool("linear_svm.py", tmp_path / "a.npz", tmp_path / "b.npz")


def test_a_report_removes_older_runs_and_nothing_else(tool, told_apart, tmp_path):
    for name in ("x_run7.json", "x_run1_notes.json", "x_run.json"):
        (tmp_path / name).write_text("mine")
    tool("linear_svm.py", told_apart, "--runs", 2, "--out", tmp_path / "x.json")
    assert sorted(path.name for path in tmp_path.glob("x_run*")) == [
        *("x_run.json", "x_run0.json", "x_run1.json", "x_run1_notes.json"),
    ]


def test_few_shot_draws_the_same_episodes_for_all_features(tool, told_apart, taught_set, tmp_path):
    said = tool(
        "few_shot.py",
        told_apart,
        shutil.copy(told_apart, tmp_path / "again.npz"),
        "--ways",
        2,
        3,
        4,
        "--shots",
        1,
        3,
        "--out",
        tmp_path / "a.json",
    )
    report = json.loads((tmp_path / "a.json").read_text())
    assert [(one["ways"], one["shots"]) for one in report["settings"]] == [(2, 1), (2, 3), (3, 1), (3, 3)]
    assert "left out: 4 ways, 1 shot: 3 classes of the pool with 2 shapes" in said
    for one in report["settings"]:
        first, second = one["accuracy_by_encoder_and_episode"]
        assert first == second
        assert one["mean"] == pytest.approx(np.mean(first))
        assert one["queries_by_episode"] == [one["ways"] * (4 - one["shots"])] * 10

    options = ("--data", taught_set, "--ways", 3, "--shots", 2, "--queries", 2, "--repeats", 4)
    for name in ("b", "c"):
        tool("few_shot.py", "teacher:mobilenetv2", *options, "--out", tmp_path / f"{name}.json")
    assert (tmp_path / "b.json").read_text() == (tmp_path / "c.json").read_text()
    (one,) = json.loads((tmp_path / "b.json").read_text())["settings"]
    (accuracy,) = one["accuracy_by_encoder_and_episode"]
    assert one["mean"] == pytest.approx(np.mean(accuracy))
    assert one["std"] == pytest.approx(np.std(accuracy, ddof=1))
    with pytest.raises(SystemExit, match="no setting is possible; 5 ways, 2 shots: 4 classes"):
        tool("few_shot.py", "teacher:mobilenetv2", "--data", taught_set, "--ways", 5, "--shots", 2)


def test_few_shot_over_several_splits(tool, told_apart, tmp_path):
    tool("few_shot.py", told_apart, "--pool", "train", "test", "--ways", 2, "--shots", 5,
         "--out", tmp_path / "a.json")  # fmt: skip
    (one,) = json.loads((tmp_path / "a.json").read_text())["settings"]
    assert one["queries_by_episode"] == [2] * 10  # 4 of train and 2 of test, less 5


def test_retrieval_reports_both_measures(tool, told_apart, tmp_path):
    said = tool("retrieval.py", told_apart, "--out", tmp_path / "a.json", "--distance", "euclidean")
    report = json.loads((tmp_path / "a.json").read_text())
    # seen as 0 0 1 0 2 1: both beds find each other before or after the chair seen as a bed
    assert 50 <= report["class_average_precision"]["bed"] <= 100
    found = report["mean_average_precision"]
    assert found["without_self"]["mean"] < found["with_self"]["mean"]
    assert found["without_self"]["mean"] == pytest.approx(
        np.mean(list(report["class_average_precision"].values()))
    )
    assert report["queries_alone_in_their_class"] == 0
    assert f"{found['without_self']['mean']:.2f}" in said
    assert "feature: one-hot" in said


def figures_of(name, report):
    """What a protocol's report says of its encoder, and of the random one beside it."""
    if name == "few_shot.py":
        (one,) = report["settings"]
        return one["mean"], one.get("random_encoder", {}).get("mean")
    if name == "retrieval.py":
        (one,) = report["encoders"]
        return one["without_self"], report.get("random_encoder", {}).get("without_self")
    (one,) = report["runs"]
    return one["overall_accuracy"], report.get("random_encoder", {}).get("overall_accuracy")


@pytest.mark.parametrize("name", ["linear_svm.py", "few_shot.py", "retrieval.py"])
def test_the_random_encoder_stands_beside(tool, checkpoint, taught_set, tmp_path, name):
    """Its figure is that of the source ``random:0``, whether a checkpoint or an exported student is asked."""
    export_student(load_config(CONFIG, [f"data_root={taught_set}", POINTS]), checkpoint, tmp_path / "s.pth")
    words = {
        "linear_svm.py": ("--runs", 1, "--folds", 2, "--grid", 1),
        "few_shot.py": ("--ways", 3, "--shots", 2, "--queries", 2, "--repeats", 2),
        "retrieval.py": (),
    }[name]
    options = ("--data", taught_set, "--num-points", 32, *words, "--out", tmp_path / "a.json")
    with_config = ("--config", CONFIG, "--cfg-options", POINTS)

    def report(*words):
        said = tool(name, *words, *options)
        return said, figures_of(name, json.loads((tmp_path / "a.json").read_text()))

    said, (trained, beside) = report(checkpoint, *with_config)
    assert "random" in said
    _, (random, nothing) = report("random:0", *with_config)
    assert beside == random
    assert name != "retrieval.py" or random != trained  # the SVMs are right about all of so few shapes
    assert nothing is None
    assert report(tmp_path / "s.pth")[1] == (trained, beside)
    assert report(tmp_path / "s.pth", "--no-random")[1] == (trained, None)
