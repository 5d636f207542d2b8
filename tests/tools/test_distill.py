"""distill.py: the table is that of its runs, a second call trains nothing, and a weak teacher is named."""

import argparse
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import log_softmax

from pointmcd.apis import load_student
from pointmcd.commands import distill, distillation
from pointmcd.commands.distillation_teacher import POINT_DIM, why_no_points
from pointmcd.compat import read_config
from pointmcd.config_files import CONFIGS
from pointmcd.datasets.prepared_set import manifest_digest
from pointmcd.datasets.teacher_cache import TeacherCache
from pointmcd.engine import load_config
from pointmcd.engine.agreement import config_of
from pointmcd.models.backbones import PointNet2
from pointmcd.models.teachers.trunks import build_trunk

SIDES = ("baseline", "pointmcd")


@pytest.fixture(scope="module")
def place(tiny_set, tmp_path_factory):
    folder = tmp_path_factory.mktemp("distill")
    torch.manual_seed(0)
    torch.save(build_trunk("test_resnet").state_dict(), folder / "weights.pth")
    shutil.copytree(tiny_set, folder / "set")
    return folder


def run(place, *words):
    distill.main(
        [
            str(place / "set"),
            *("--backbone", "PointNet", "--trunk", "test_resnet", "--labels", "60", "--folds", "3"),
            *("--weights", str(place / "weights.pth"), "--input-size", "0", "--seeds", "0", "1"),
            *("--epochs", "1", "--out", str(place / "out")),
            *("--cfg-options", "train_dataloader.batch_size=8", "train_dataloader.dataset.num_points=32"),
            "test_dataloader.dataset.num_points=32",
            *words,
        ]
    )


def recipe_in(checkpoint):
    """What a training was made with of that which recipes choose, by its checkpoint."""
    config = config_of(torch.load(checkpoint, weights_only=True))
    found = {f"model.distill.0.{name}": value for name, value in config["model"]["distill"][0].items()}
    assert found.pop("model.distill.0.type") == "LogitDistillationHead"
    return {**found, "train_dataloader.sampler.share": config["train_dataloader"]["sampler"]["share"]}


def test_from_a_prepared_set_to_a_student(place, capsys):
    run(place, "--anyway")
    out = place / "out"
    report = json.loads((out / "distill.json").read_text())
    gains = []
    for seed in (0, 1):
        sides = [json.loads((out / f"{side}_train_s{seed}/result.json").read_text()) for side in SIDES]
        right = [np.equal(side["predictions"], side["labels"]) for side in sides]
        gains.append(100 * (right[1].mean() - right[0].mean()))
    assert report["difference"]["mean"] == pytest.approx(np.mean(gains))
    assert report["difference"]["low"] <= report["difference"]["mean"] <= report["difference"]["high"]
    assert len(load_student(out / "student.pth").classify(np.random.default_rng(0).normal(size=(99, 3)))) == 4
    steps = {torch.load(out / f"{side}_train_s0/epoch_1.pth")["meta"]["iter"] for side in SIDES}
    assert recipe_in(out / "pointmcd_train_s0/epoch_1.pth") == distillation.RECIPES["all"]
    assert steps == {24 // 8}  # as many on both sides, however many labels
    shown = capsys.readouterr().out
    assert "distilled less alone" in shown
    assert "and what the teacher sees at each point" in shown
    assert "their average on" in shown
    assert "--average" not in shown  # which is for fewer labels
    assert "less than a minute left" in shown
    before = (out / "pointmcd_train_s0/result.json").stat().st_mtime_ns
    run(place, "--anyway")
    assert (out / "pointmcd_train_s0/result.json").stat().st_mtime_ns == before


def test_single_points_are_taught_with_all_labels_or_when_asked_for(place, capsys):
    whole = config_of(torch.load(place / "out/pointmcd_train_s0/epoch_1.pth", weights_only=True))
    shipped = read_config(CONFIGS / "pointmcd_dgcnn_points_meshes.py").model.distill[1]
    assert whole["model"]["distill"][1] == dict(shipped)
    cache = TeacherCache(place / "set", whole["train_dataloader"]["dataset"]["teacher"])
    assert cache.split("train").arrays["point_descriptors"].shape == (24, 32, POINT_DIM)
    few = place / "points_few"
    run(place, "--anyway", "--points", "--labels", "40", "--seeds", "0", "--out", str(few))
    checkpoint = few / "pointmcd_train_s0/epoch_1.pth"
    assert recipe_in(checkpoint) == distillation.RECIPES["some"]
    assert len(config_of(torch.load(checkpoint, weights_only=True))["model"]["distill"]) == 2
    capsys.readouterr()
    none = place / "points_none"
    run(place, "--anyway", "--no-points", "--seeds", "0", "--out", str(none))
    without = config_of(torch.load(none / "pointmcd_train_s0/epoch_1.pth", weights_only=True))
    assert len(without["model"]["distill"]) == 1
    assert "but with targets of points (--points)" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"holds a run with another points \(True, now False\)"):
        run(place, "--no-points", "--seeds", "0")


class Mute(PointNet2):
    """It inherits a width of local features, and makes none."""

    def encode(self, points):
        features = super().encode(points)
        del features["levels"]
        return features


def test_why_no_points_are_taught(tiny_set):
    def why(backbone, **args):
        words = {"further": [], "data": tiny_set, "backbone": "Mine", **args}
        config = load_config("baseline_pointnet_meshes.py", {"data_root": str(tiny_set)})
        config.model.backbone = backbone
        config.train_dataloader.dataset.num_points = 64
        return why_no_points(argparse.Namespace(**words), config)

    small = {"num_points": [16, 8]}
    assert why({"type": "PointNet2", **small}) is None
    assert why({"type": "PointNet2", **small}, further=["x"]).startswith("--further works for the classes")
    assert why({"type": Mute, **small}) == "Mine has no local features of all points"
    with pytest.raises(ValueError, match="keeps 512 points, but is given 64"):
        why({"type": "PointNet2"})


def test_seeds_share_the_teacher_of_points(place):
    """With all labels; in whatever order the seeds are given."""
    caches = []
    for seeds in ("0", "1"):
        out = place / f"shared_{seeds}"
        run(place, "--anyway", "--labels", "100", "--seeds", seeds, "--out", str(out))
        (noted,) = out.glob("distill_*_train_s*.json")
        caches.append(noted.name)
    assert caches[0] == caches[1]


def test_students_that_begin_with_other_weights_are_compared_but_do_not_teach(place):
    out, start = place / "began", place / "out/baseline_train_s0/epoch_1.pth"
    hook = f"custom_hooks=[dict(type='PretrainedBackboneHook', checkpoint='{start}')]"
    words = ["--no-points", "--anyway", "--seeds", "0", "--out", str(out), "--cfg-options", hook]
    run(place, *words)
    assert set(json.loads((out / "held_out.json").read_text())) == {"teacher", "student"}
    with pytest.raises(SystemExit, match="began with the weights of another training"):
        run(place, "--average", *words)


def test_several_shares_end_in_a_picture(place):
    out = place / "shares"
    run(place, "--anyway", "--seeds", "0", "--labels", "60", "100", "--out", str(out))
    assert [
        json.loads((out / f"{share}/distill.json").read_text())["labels_percent"] for share in (60, 100)
    ] == [
        60,
        100,
    ]
    with Image.open(out / "label_shares.png") as picture:
        assert picture.width > picture.height > 100


def test_a_teacher_that_is_not_better_is_named(place, capsys):
    """The student alone is said to be right on all held-out shapes."""
    out = place / "out"
    result = out / "baseline_fit_s0/result.json"
    kept = result.read_text()
    result.write_text(json.dumps({**json.loads(kept), "overall_accuracy": 100.0}))
    with pytest.raises(SystemExit, match="nothing was distilled; --anyway distils"):
        run(place)
    result.write_text(kept)
    shown = capsys.readouterr().out
    assert "No: the teacher is right on" in shown
    assert "--input-size" in shown
    assert "more than 4 views" in shown


def test_a_student_that_has_learnt_nothing_is_named(place, capsys):
    result = place / "out/baseline_fit_s0/result.json"
    kept = result.read_text()
    result.write_text(json.dumps({**json.loads(kept), "overall_accuracy": 0.0}))
    run(place)
    result.write_text(kept)
    assert "the student has learnt nothing, or only which class has most shapes" in capsys.readouterr().out


def test_the_average_with_the_student_alone_teaches(place, capsys):
    out = place / "average"
    run(place, "--anyway", "--average", "--seeds", "0", "--out", str(out))
    teachers = place / "set/teachers"
    (average,) = teachers.glob("*_train_s0_*_average_*")
    members = json.loads((average / "meta.json").read_text())["members"]
    frozen, student = (
        log_softmax(np.load(teachers / member["name"] / "test_logits.npy"), 1) for member in members
    )
    np.testing.assert_allclose(np.load(average / "test_logits.npy"), (frozen + student) / 2, atol=1e-6)
    alone = json.loads((out / "baseline_train_s0/result.json").read_text())
    assert np.argmax(student, 1).tolist() == alone["predictions"]
    config = config_of(torch.load(out / "pointmcd_train_s0/epoch_1.pth", weights_only=True))
    assert config["train_dataloader"]["dataset"]["teacher"] == average.name
    assert [head["type"] for head in config["model"]["distill"]] == [
        "LogitDistillationHead",
        "PointDistillationHead",
    ]
    for split in ("train", "test"):  # the networks' alone
        points = [
            teachers / one / f"{split}_point_descriptors.npy" for one in (average.name, members[0]["name"])
        ]
        np.testing.assert_array_equal(*map(np.load, points))
    assert "frozen, averaged with the student alone" in capsys.readouterr().out
    assert set(json.loads((out / "held_out.json").read_text())) == {"teacher", "student", "average"}
    with pytest.raises(SystemExit, match="holds a run with another teacher"):
        run(place, "--anyway", "--seeds", "0", "--out", str(out))
    with pytest.raises(SystemExit, match="--average works without --further"):
        run(place, "--average", "--further", str(place / "set"))


def test_runs_of_other_settings_are_kept(place, monkeypatch):
    with pytest.raises(SystemExit, match="holds a run with another epochs"):
        run(place, "--anyway", "--epochs", "2")
    monkeypatch.setitem(distillation.RECIPES["all"], "train_dataloader.sampler.share", 0.75)
    with pytest.raises(SystemExit, match="pointmcd_train_s0 holds a run with another complete_config"):
        run(place, "--anyway")


def test_a_moved_folder_exports_its_own_student(place):
    shutil.move(place / "out", place / "moved")
    before = load_student(place / "moved/student.pth").embed(np.eye(3))
    (place / "moved/student.pth").unlink()
    run(place, "--anyway", "--out", str(place / "moved"))
    np.testing.assert_array_equal(load_student(place / "moved/student.pth").embed(np.eye(3)), before)
    shutil.move(place / "moved", place / "out")


def test_teachers_of_other_settings_have_caches_of_their_own(place):
    """The first run's student stays beside what its own teacher says."""
    out = place / "larger"
    before = {path.parent.name: path.read_bytes() for path in (place / "set/teachers").glob("*/meta.json")}
    run(place, "--anyway", "--seeds", "0", "--out", str(out), "--input-size", "48")
    after = {path.parent.name: path.read_bytes() for path in (place / "set/teachers").glob("*/meta.json")}
    assert {name: after[name] for name in before} == before
    (noted,) = (json.loads(path.read_text()) for path in out.glob("distill_*_train_s0_*.json"))
    assert noted["trunks"][0]["input_size"] == 48


def test_the_student_alone_makes_as_many_steps_without_the_shapes_that_are_held_out(place):
    """24 shapes in batches of 8 are three steps, 20 are two: two epochs in place of one."""
    fit = torch.load(place / "out/baseline_fit_s0/epoch_2.pth", weights_only=True)
    whole = torch.load(place / "out/baseline_train_s0/epoch_1.pth", weights_only=True)
    assert (fit["meta"]["iter"], whole["meta"]["iter"]) == (4, 3)
    lasts = [one["param_schedulers"][0]["T_max"] for one in (fit, whole)]  # the rate falls to the end of each
    assert lasts == [2, 1]


def test_what_is_misspelt_is_said_before_any_work(place):
    out = place / "misspelt"
    shutil.copytree(place / "set", place / "other")
    for words, message in [
        (["--backbone", "PointNat"], "--backbone PointNat is not known; did you mean PointNet?"),
        (["--backbone", "PointNet2"], "keeps 256 points, but is given 32; lower num_points of the backbone"),
        (["--backbone", "Qqqq"], "there are .*DGCNN.*PointNet2"),
        (["--cfg-options", "model.backbone.chanels=3"], "chanels"),
        (["--cfg-options", "test_dataloader.dataset.split=train"], "split 'train', which the command itself"),
        (["--cfg-options", "train_dataloader.dataset.label_fraction=1.0"], "label_fraction 1.0, which the"),
        (["--cfg-options", f"data_root={place / 'other'}"], "data_root '.*other', which the command itself"),
        (["--seeds", "0", "0"], "--seeds 0 0: give different numbers"),
        (["--seeds", "-1"], "--seeds -1: give different numbers, 0 or above"),
    ]:
        with pytest.raises(SystemExit, match=message):
            run(place, "--out", str(out), *words)
    assert not out.exists()


def test_a_small_set_has_a_smaller_batch(place, capsys):
    """The config's has 32; what failed before its first checkpoint is not a run to keep."""
    out = place / "small"
    words = ["--anyway", "--seeds", "0", "--out", str(out)]
    with pytest.raises(SystemExit, match="nowhere"):
        run(place, *words, "--cfg-options", f"load_from={place}/nowhere.pth")
    assert (out / "baseline_fit_s0/settings.json").is_file()
    run(place, *words, "--cfg-options", "train_dataloader.batch_size=32")
    said = capsys.readouterr().out
    assert "baseline_fit_s0: a batch of 20, as there are no more shapes to train on" in said
    for side in SIDES:
        checkpoint = torch.load(out / f"{side}_train_s0/epoch_1.pth", weights_only=True)
        assert config_of(checkpoint)["train_dataloader"]["batch_size"] == 24
        assert checkpoint["meta"]["iter"] == 1
    with pytest.raises(SystemExit, match="holds a run with another cfg_options"):
        run(place, *words)


def rename(root, name):
    """Give the first class of a prepared set another name, which makes it another set."""
    manifest = json.loads((root / "manifest.json").read_text())
    manifest.pop("manifest_sha256", None)
    manifest["class_names"][0] = name
    manifest["files"]["train/points.npy"]["sha256"] = "0" * 64
    (root / "manifest.json").write_text(json.dumps(manifest | {"digest": manifest_digest(manifest)}))


def test_further_sets_and_few_labels(place):
    """As many steps as without them, and the recipe is that of few labels."""
    further = shutil.copytree(
        place / "set", place / "further", ignore=shutil.ignore_patterns("teachers", "trunks")
    )
    rename(further, "crate")  # so that it is another set, of other shapes
    words = ["--further", str(further), "--labels", "9", "--seeds", "0", "--out", str(place / "few")]
    run(place, "--anyway", *words)
    checkpoint = place / "few/pointmcd_train_s0/epoch_1.pth"
    assert recipe_in(checkpoint) == distillation.RECIPES["few"]
    saved = torch.load(checkpoint, weights_only=True)
    assert saved["meta"]["iter"] == 24 // 8
    assert config_of(saved)["train_dataloader"]["dataset"]["type"] == "JoinedShapes"
    assert json.loads((place / "few/distill.json").read_text())["recipe"]["name"] == "few"
    with pytest.raises(SystemExit, match="holds a run with another recipe"):
        run(place, "--anyway", *words, "--recipe", "all")
    for gone in (place / "few/pointmcd_train_s0", further / "teachers"):
        shutil.rmtree(gone)
    run(place, "--anyway", *words)  # writes what the further set lacks
    rename(further, "barrel")
    with pytest.raises(SystemExit, match="holds a run with another teacher"):
        run(place, "--anyway", *words)


@pytest.mark.parametrize(
    ("labels", "name"), [(1, "few"), (9.9, "few"), (10, "some"), (49, "some"), (50, "all")]
)
def test_the_recipe_follows_from_the_labels(labels, name):
    assert distillation.recipe_of(labels) == name
