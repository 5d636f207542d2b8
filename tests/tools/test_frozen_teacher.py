"""cache_teacher.py --frozen: what is written, whose labels were seen, and who is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pointmcd.commands import cache_teacher
from pointmcd.datasets.label_choice import labelled_rows, rows_of_split
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.datasets.teacher_cache import TeacherCache
from pointmcd.engine import build_runner, load_config
from pointmcd.models.teachers.frozen import FrozenTrunk

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def test_features_are_those_of_the_network(root, weights, run):
    """Enlarged bilinearly to timm's size, by timm's statistics, pooled: in plain torch and timm."""
    import timm

    run()
    (folder,) = (root / "trunks").iterdir()
    network = timm.create_model("test_resnet", num_classes=0)
    network.load_state_dict(torch.load(weights, weights_only=True))
    batch = PreparedShapes(str(root), "test", num_points=1, views="all").__getitems__([2, 5])
    known = network.pretrained_cfg
    images = batch["views"].flatten(0, 1).float() / 255
    images = F.interpolate(images, known["input_size"][1:], mode="bilinear", antialias=True)
    mean, std = (torch.tensor(known[name]).view(3, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        expected = network.eval()((images - mean) / std).view(2, 4, -1)
    rows = np.load(folder / "test.npy")[[2, 5]]
    torch.testing.assert_close(torch.from_numpy(rows).float(), expected, rtol=2e-3, atol=1e-3)


def test_rows_and_record(root, run, capsys):
    cache = run()
    rows = cache.split("train").rows(np.arange(24))
    assert rows["view_descriptors"].shape == (24, 4, 8)
    assert rows["view_descriptors"].square().mean() == pytest.approx(1, rel=0.01)
    assert rows["view_descriptors"].mean((0, 1)).abs().max() < 0.01
    torch.testing.assert_close(rows["descriptor"], rows["view_descriptors"].mean(1), rtol=2e-3, atol=2e-3)
    assert (rows["has_logits"] == 1).all()
    labels = PreparedSet(root).split("train").labels
    right = 100 * float((rows["logits"].argmax(1).numpy() == labels).mean())
    assert cache.meta["accuracy"]["train"]["overall_accuracy"] == pytest.approx(right)
    assert cache.meta["probe"]["cross_fitted_accuracy"] == pytest.approx(right)
    assert [fold["speaks_of"] + fold["trained_on"] for fold in cache.meta["probe"]["folds"]] == [24] * 3
    assert sum(fold["speaks_of"] for fold in cache.meta["probe"]["folds"]) == 24
    assert cache.meta["labels"]["count"] == 24
    assert cache.meta["teacher"]["trunks"][0]["trunk"] == "test_resnet"
    assert "wrote" in capsys.readouterr().out
    PreparedShapes(str(root), "train", num_points=1, teacher="frozen")


def test_no_label_but_the_chosen_is_seen(root, run):
    """With the other labels of train scrambled, the cache says the same to the last bit."""
    words = ("--split", "fit", "--labels", "60", "--fraction-seed", "1")
    before = run(*words).split("train").rows(np.arange(24))
    labels = np.load(root / "train/labels.npy")
    seen = labelled_rows(labels, "fit", 0.6, 1)
    assert len(seen) == 12
    hidden = np.setdiff1d(np.arange(24), seen)
    # the choice of rows is a function of the labels, so that they are scrambled within what it leaves
    scrambled = labels.copy()
    scrambled[hidden] = np.roll(labels[hidden], 5)
    from pointmcd.evaluation import frozen_teacher

    choose, part = frozen_teacher.labelled_rows, frozen_teacher.rows_of_split
    fit = rows_of_split(labels, "fit")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frozen_teacher, "labelled_rows", lambda *a: choose(labels, "fit", 0.6, 1))
        patch.setattr(frozen_teacher, "rows_of_split", lambda *a: fit if a[1] == "fit" else part(*a))
        np.save(root / "train/labels.npy", scrambled)
        after = run(*words).split("train").rows(np.arange(24))
    np.save(root / "train/labels.npy", labels)
    for name, value in before.items():
        assert torch.equal(value, after[name]), name


def test_a_student_of_other_labels_is_refused(root, run):
    run("--labels", "60")
    options = {"num_points": 1, "teacher": "frozen"}
    PreparedShapes(str(root), "train", label_fraction=0.6, unlabelled="rest", **options)
    with pytest.raises(ValueError, match="has seen the labels of 16 shapes"):
        PreparedShapes(str(root), "train", label_fraction=0.3, unlabelled="rest", **options)


def test_what_looks_alike_is_of_one_class(root, run):
    """Spreading changes what is said of shapes without a label, and of no other."""
    words = ("--split", "fit", "--labels", "60")
    spread, plain = (
        run(*words, *more).split("train").rows(np.arange(24))["logits"] for more in ((), ("--no-spread",))
    )
    labels = PreparedSet(root).split("train").labels
    seen = labelled_rows(labels, "fit", 0.6)
    rest = np.setdiff1d(rows_of_split(labels, "fit"), seen)
    same = np.setdiff1d(np.arange(24), rest)
    assert torch.equal(spread[same], plain[same])
    assert (spread[rest] != plain[rest]).any(1).all()
    torch.testing.assert_close(spread[rest].exp().sum(1), torch.ones(len(rest)), atol=1e-3, rtol=0)


def test_classes_are_said_by_as_many_views_as_asked(root, run):
    """Of 4 views and 2: the first and the third. The others may then say anything."""
    before = run("--views", "2")
    assert before.meta["probe"]["views"] == 2
    (path,) = (root / "trunks").glob("*/train.npy")
    features = np.load(path)
    features[:, 1::2] = 7
    np.save(path, features)
    after = run("--views", "2")
    assert torch.equal(*(one.split("train").rows(np.arange(24))["logits"] for one in (before, after)))
    assert not torch.equal(*(one.split("train").rows(np.arange(24))["descriptor"] for one in (before, after)))
    with pytest.raises(SystemExit, match="5 views of each shape are asked for, but there are 4"):
        run("--views", "5")


def test_small_classes_keep_their_hard_labels_alone(root, run, caplog, capsys):
    cache = run("--labels", "34")  # 2 of each class, but 3 folds
    rows = cache.split("train").rows(np.arange(24))
    seen = labelled_rows(PreparedSet(root).split("train").labels, "train", 0.34)
    assert np.array_equal(np.flatnonzero(rows["has_logits"] == 0), seen)
    assert cache.meta["probe"]["in_no_fold"] == 8
    assert "4 classes have fewer than 3 labelled shapes; their 8 shapes" in caplog.text
    assert "34 % of the labels of each class, at least one: 8 shapes" in capsys.readouterr().out


def test_features_are_computed_once(root, run):
    run()
    (path,) = (root / "trunks").glob("*/train.npy")
    features = np.load(path)
    np.save(path, features * 0 + np.arange(len(features))[:, None, None].astype(np.float16) % 6)
    cache = run("--labels", "60")
    assert len(np.unique(cache.split("train").rows(np.arange(24))["descriptor"][:6], axis=0)) == 6
    assert json.loads((path.parent / "meta.json").read_text())["settings"]["trunk"] == "test_resnet"


def test_several_networks_stand_side_by_side(root, run):
    run()
    one = run().meta["channels"]
    assert one == 8
    both = run("--input-size", 0, 48, trunks=("test_resnet", "test_resnet"))
    assert [trunk["input_size"] for trunk in both.meta["teacher"]["trunks"]] == [0, 48]
    assert len(list((root / "trunks").iterdir())) == 3


def test_of_points(parts_set, tmp_path, weights):
    """What is said of points is there where a view sees them; parts that are not known are not looked at."""
    root = shutil.copytree(parts_set, tmp_path / "set")
    words = ["--frozen", "test_resnet", "--weights", str(weights), "--data", str(root), "--folds", "2"]
    words += ["--labels", "50", "--point-dim", "6", "--point-count", "128", "--name", "points"]
    cache_teacher.main(words)
    cache, data = TeacherCache(root, "points"), PreparedSet(root).split("train")
    rows = cache.split("train").rows(np.arange(12), 100)
    assert rows["point_descriptors"].shape == (12, 100, 6)
    seen = torch.from_numpy(np.asarray(data.visibility[:, :100]) > 0)
    assert torch.equal((rows["point_descriptors"] != 0).any(-1), seen)
    assert torch.equal((rows["point_logits"] != 0).any(-1), seen)
    assert rows["point_descriptors"][seen].square().mean() == pytest.approx(1, rel=0.1)
    assert cache.meta["point_channels"] == 6
    options = {"parts": True, "label_fraction": 0.5, "unlabelled": "rest", "teacher": "points"}
    batch = PreparedShapes(str(root), "train", num_points=64, **options).__getitems__([0, 11])
    assert torch.equal(batch["teacher"]["point_descriptors"], rows["point_descriptors"][[0, 11], :64])
    with pytest.raises(ValueError, match=r"covers 128 points .*--point-count 200"):
        PreparedShapes(str(root), "train", num_points=200, **options)
    parts = np.load(root / "train/parts.npy")
    hidden = np.setdiff1d(np.arange(12), labelled_rows(data.labels, "train", 0.5))
    parts[hidden] = parts[hidden, ::-1]
    np.save(root / "train/parts.npy", parts)
    cache_teacher.main(words)
    after = TeacherCache(root, "points").split("train").rows(np.arange(12), 100)
    for name, value in rows.items():
        assert torch.equal(value, after[name]), name


def test_a_student_learns_from_a_set_without_classes(tiny_meshes, weights, tmp_path):
    """From meshes to a backbone, without a label anywhere."""
    from pointmcd.datasets.preparation.job import Request, prepare
    from pointmcd.geometry import CameraRig

    data, rig = tmp_path / "set", CameraRig((0.0, 120.0, 240.0), (30.0,) * 3)
    source = {"source": tiny_meshes, "unlabelled": True}
    prepare(Request("mesh-folder", source, num_points=64, rig=rig, image_size=32), data)
    words = ["--frozen", "test_resnet", "--weights", str(weights), "--dim", "8", "--data", str(data)]
    cache_teacher.main(words)
    assert TeacherCache(data, "frozen").meta["channels"] == 8
    options = {
        "data_root": str(data),
        "train_dataloader.batch_size": 8,
        "train_dataloader.dataset.num_points": 64,
        "train_dataloader.dataset.teacher": "frozen",
        "train_cfg.max_epochs": 2,
    }
    config = load_config(CONFIGS / "pointmcd_pointnet_unlabelled.py", options)
    config.work_dir = str(tmp_path / "run")
    build_runner(config).train()
    state = torch.load(tmp_path / "run/epoch_2.pth", weights_only=True)["state_dict"]
    assert any(key.startswith("distill.") and 8 in value.shape for key, value in state.items())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dim", "0"], "--dim is 0, must be at least 1"),
        (["--labels", "0", "--views", "2"], "--views is for the classes"),
        (["--labels", "0", "--folds", "5"], "--folds is for the classes"),
        (["--input-size", "-5"], "--input-size is -5, must be a number of pixels"),
        (["--trunk-options", "a=b"], "test_resnet does not take these trunk_options: .*'a'"),
        (["--regularisation", "0"], "--regularisation is 0, must be a finite number above 0"),
        (["--regularisation", "-1"], "--regularisation is -1, must be"),
        (["--regularisation", "nan"], "--regularisation is nan, must be"),
        (["--input-size", "1", "2", "3"], "--input-size has 3 values for 1 networks"),
        (["--trunk-options", "pad"], "takes key=value, not 'pad'"),
        (["--labels", "-1"], "--labels is -1, must be a percentage"),
        (["--folds", "9"], "no class has 9 labelled shapes or more"),
        (["--labels", "101"], "--labels is 101"),
        (["--folds", "1"], "the number of folds is 1, must be at least 2"),
    ],
)
def test_what_is_wrong_is_named(run, words, message):
    with pytest.raises(SystemExit, match=message):
        run(*words)


def test_texts_are_for_an_image_text_model_alone(run, capsys):
    with pytest.raises(SystemExit):
        run("--text", "names.npy")
    assert "--text is for --image-text" in capsys.readouterr().err


def test_a_trunk_reads_a_teacher_of_the_same_network(tmp_path):
    from pointmcd.models import MultiViewTeacher

    torch.manual_seed(0)
    teacher = MultiViewTeacher(num_classes=3, trunk="test_resnet").eval()
    torch.save({"state_dict": teacher.state_dict()}, tmp_path / "teacher.pth")
    trunk = FrozenTrunk("test_resnet", str(tmp_path / "teacher.pth"), input_size=0, normalization="unit")
    views = torch.randint(256, (2, 3, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        expected = teacher.view_embed(trunk(views))
    torch.testing.assert_close(expected, teacher.features(views)["view_descriptors"])
    assert not any(parameter.requires_grad for parameter in trunk.parameters())
