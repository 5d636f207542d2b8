"""tools/cache_teacher.py on a small prepared set, and what students then find."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pointmcd.commands import cache_teacher
from pointmcd.datasets.label_choice import fold_numbers, labelled_rows
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.datasets.teacher_cache import TeacherCache
from pointmcd.engine import load_config
from pointmcd.models import MultiViewTeacher
from pointmcd.registry import MODELS

TOOLS = Path(__file__).resolve().parents[2] / "tools"
CONFIGS = TOOLS.with_name("configs")
CONFIG = """
model = dict(type="MultiViewTeacher", trunk="test_resnet", channels=16, num_classes=None)
data_root = None
train_dataloader = dict(dataset=dict(split="train"))
test_dataloader = dict(
    batch_size=5,
    num_workers=0,
    dataset=dict(type="PreparedShapes", data_root=None, split="test", num_points=1, views="all"),
)
test_evaluator = dict(type="ClassificationMetric", num_classes=None)
"""


@pytest.fixture
def root(tiny_set, tmp_path):
    return shutil.copytree(tiny_set, tmp_path / "set")


@pytest.fixture
def run(root, tmp_path):
    """The tool, given a checkpoint of a teacher with random weights."""
    torch.manual_seed(0)
    teacher = MultiViewTeacher(num_classes=4, trunk="test_resnet", channels=16).eval()
    checkpoint, config = tmp_path / "epoch_1.pth", tmp_path / "teacher_tiny_shapes.py"
    torch.save({"state_dict": teacher.state_dict()}, checkpoint)
    config.write_text(CONFIG)

    def call(*words, checkpoint=checkpoint):
        overrides = ["--cfg-options", f"data_root={root}", *words]
        cache_teacher.main([str(config), str(checkpoint), *overrides])
        return teacher

    return call


def test_rows_are_what_the_teacher_says(run, root, capsys):
    teacher = run()
    cache = TeacherCache(root, "tiny")  # from the config's name
    for split in ("train", "test"):
        dataset = PreparedShapes(str(root), split, num_points=1, views="all")
        batch = dataset.__getitems__(range(len(dataset)))
        said, rows = teacher.describe(batch), cache.split(split).rows(np.arange(len(dataset)))
        for name, value in rows.items():
            torch.testing.assert_close(value, said[name], rtol=2e-3, atol=1e-4)
        right = (said["logits"].argmax(1) == batch["label"]).float().mean()
        assert cache.meta["accuracy"][split]["overall_accuracy"] == pytest.approx(100 * float(right))
    assert cache.meta["teacher"]["trunk"] == "test_resnet"
    assert cache.meta["labels"]["count"] == 24
    assert "held_out" not in capsys.readouterr().out


def test_a_teacher_of_a_part_of_train_is_tested_on_the_other(run, root, capsys):
    run("train_dataloader.dataset.split=fit")
    assert "held_out" in capsys.readouterr().out
    assert TeacherCache(root, "tiny").meta["accuracy"].keys() == {"train", "fit", "held_out", "test"}


def test_a_teacher_of_all_labels_is_not_for_a_student_of_some(run, root):
    run()
    PreparedShapes(str(root), "train", num_points=1, teacher="tiny")
    with pytest.raises(ValueError, match=r"has seen the labels of 24 shapes \(split train\)"):
        PreparedShapes(str(root), "train", num_points=1, label_fraction=0.5, teacher="tiny")


def test_folds_of_trained_teachers(root, tmp_path):
    """Each labelled shape is spoken of by the teacher that was trained without it, by its checkpoint."""
    prepared = PreparedSet(root)
    known = "split='fit', label_fraction=0.8, fraction_seed=2, type='PreparedShapes'"
    (tmp_path / "teacher_tiny_shapes.py").write_text(CONFIG)
    teachers, files = [], []
    for fold in (2, 0, 1):
        torch.manual_seed(fold)
        teachers.append(MultiViewTeacher(num_classes=4, trunk="test_resnet", channels=16).eval())
        text = f"train_dataloader = dict(dataset=dict({known}, without_fold=({fold}, 3)))"
        meta = {"cfg": text, "statement": {"data_digest": prepared.digest}}
        files.append(str(tmp_path / f"fold{fold}.pth"))
        torch.save({"state_dict": teachers[-1].state_dict(), "meta": meta}, files[-1])
    call = [str(tmp_path / "teacher_tiny_shapes.py"), "--cfg-options", f"data_root={root}"]
    cache_teacher.main([call[0], *files, *call[1:]])
    cache = TeacherCache(root, "tiny")
    rows = cache.split("train").rows(np.arange(24))
    assert rows.keys() == {"logits", "has_logits"}
    truth = prepared.split("train").labels
    labelled = labelled_rows(truth, "fit", 0.8, 2)
    numbers = fold_numbers(truth[labelled], 3, 2)
    batch = PreparedShapes(str(root), "train", num_points=1, views="all").__getitems__(range(24))
    said = torch.stack([one.describe(batch)["logits"].log_softmax(1) for one in teachers])
    expected = said.mean(0)
    for row, fold in zip(labelled, numbers, strict=True):
        expected[row] = said[(1, 2, 0)[fold], row]  # as they were given
    torch.testing.assert_close(rows["logits"], expected, atol=1e-4, rtol=1e-4)
    assert cache.meta["labels"]["count"] == len(labelled) == 16
    assert [fold["trained_on"] + fold["speaks_of"] for fold in cache.meta["folds"]] == [16] * 3
    assert {"held_out", "unlabelled"} <= cache.meta["accuracy"].keys()
    with pytest.raises(SystemExit, match="2 checkpoints must be those of 2 folds"):
        cache_teacher.main([call[0], *files[:2], *call[1:]])


def test_what_does_not_fit_is_named(run, tmp_path):
    for words in (["--frozen", "mobilenetv2_100", "--data"], ["--student", "none.pth", "--data"]):
        with pytest.raises(SystemExit, match=r"the name of the cache is '\.'"):  # before anything is read
            cache_teacher.main([*words, str(tmp_path), "--name", "."])
    with pytest.raises(SystemExit, match="there is no checkpoint"):
        run(checkpoint=tmp_path / "none.pth")
    with pytest.raises(SystemExit, match=r"normalization='unit'.*normalization='imagenet'"):
        run("model.normalization=imagenet")
    with pytest.raises(SystemExit, match="does not fit the config"):
        run("model.channels=8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.py", "b.pth", "--labels", "20"], "--labels is for --frozen, not for a trained teacher"),
        (["a.py", "b.pth", "--further", "m"], "--further is for --frozen, not for a trained teacher"),
        (["--student", "b.pth", "--data", "d", "--folds", "5"], "--folds is for --frozen, not for --student"),
        (["--average", "a", "b", "--data", "d", "--split", "train"], "--split is for --frozen, not for --av"),
        (["--frozen", "n", "--data", "d", "--shares", "1"], "--shares is for --average, not for --frozen"),
        (["--frozen", "n", "--data", "d", "--cfg-options", "a=1"], "--cfg-options is for a trained teacher"),
        (
            ["--image-text", "m", "--data", "d", "--views", "2"],
            "--views is for --frozen, not for --image-text",
        ),
        (["--check", "d/teachers/t", "--name", "t"], "not for --check"),
        (["--frozen", "n"], "--frozen needs --data"),
    ],
)
def test_options_of_another_kind_are_refused(words, message, capsys):
    """Even those that say what is so by default: whoever gives one relies on it."""
    with pytest.raises(SystemExit):
        cache_teacher.main(words)
    assert message in capsys.readouterr().err


def test_a_trained_teacher_is_asked_about_the_set_of_its_config(run, root, tmp_path):
    run("--data", str(root.parent / "." / "set"))
    with pytest.raises(SystemExit, match=r"--data is .*other, but the data_root of the config is .*set"):
        run("--data", str(tmp_path / "other"))


@pytest.fixture
def run_on_parts(parts_set, tmp_path):
    """The tool on a teacher of ``parts_set`` with random weights; returns the teacher and its cache."""
    root = shutil.copytree(parts_set, tmp_path / "set")

    def call(config):
        torch.manual_seed(0)
        trunk = {"model.trunk": "test_resnet", "model.pretrained": False, "model.channels": 16}
        overrides = [f"{key}={value}" for key, value in {"data_root": root, **trunk}.items()]
        model = dict(load_config(CONFIGS / config, overrides).model)
        teacher = MODELS.build(model).eval()
        checkpoint = tmp_path / "epoch_1.pth"
        torch.save({"state_dict": teacher.state_dict()}, checkpoint)
        words = [str(CONFIGS / config), str(checkpoint), "--name", "own", "--cfg-options", *overrides]
        cache_teacher.main(words)
        return teacher, TeacherCache(root, "own")

    return call


def rows_and_batch(cache, split="test", **options):
    dataset = PreparedShapes(str(cache.folder.parents[1]), split, num_points=1, views="all", **options)
    return cache.split(split).rows(np.arange(len(dataset))), dataset.__getitems__(range(len(dataset)))


def test_autoencoder(run_on_parts, capsys):
    teacher, cache = run_on_parts("teacher_autoencoder_unlabelled.py")
    rows, batch = rows_and_batch(cache)
    assert rows.keys() == {"view_descriptors", "descriptor"}
    torch.testing.assert_close(
        rows["descriptor"], teacher.describe(batch)["descriptor"], rtol=2e-3, atol=1e-4
    )
    error = (teacher.reconstruct(teacher(**batch)) - batch["views"] / 255).abs().mean()
    assert cache.meta["accuracy"]["test"] == {"reconstruction_l1": pytest.approx(float(error), rel=1e-4)}
    assert cache.meta["teacher"]["type"] == "AutoencoderTeacher"
    assert f"{float(error):.4f}" in capsys.readouterr().out
    assert is_picture(cache.folder / "examples.png")


def test_part_segmentation(run_on_parts, capsys):
    teacher, cache = run_on_parts("teacher_parts_builtinpart.py")
    rows, batch = rows_and_batch(cache, part_views=True)
    assert rows.keys() == {"view_descriptors", "descriptor"}
    predicted = teacher.part_logits(teacher(**batch), batch).argmax(2)
    shown = batch["part_views"] < teacher.decoder.output.out_channels - 1
    right = 100 * float((predicted == batch["part_views"])[shown].float().mean())
    assert cache.meta["accuracy"]["test"]["pixel_accuracy"] == pytest.approx(right, rel=1e-3)
    assert "pixel mIoU %" in capsys.readouterr().out
    assert is_picture(cache.folder / "examples.png")


def is_picture(path):
    """Whether more than one row and column of it is not blank."""
    import matplotlib.image

    image = matplotlib.image.imread(path)[..., :3]
    return min((image < 1).any((0, 2)).sum(), (image < 1).any((1, 2)).sum()) > 100
