"""Which labels a teacher has seen, where no cache says it; and what a resumed training changes."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from pointmcd.checkpoint import read_checkpoint
from pointmcd.commands import cache_teacher
from pointmcd.datasets.manifest import manifest_digest
from pointmcd.engine import build_runner, load_config
from pointmcd.engine.labels_seen import check_own_weights
from pointmcd.engine.same_training import changed_settings

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def trained(name, data, work_dir, **more):
    options = {"data_root": str(data), "train_dataloader.batch_size": 8, "train_cfg.max_epochs": 1, **more}
    config = load_config(CONFIGS / f"{name}.py", options)
    config.val_dataloader = config.val_cfg = config.val_evaluator = None
    config.work_dir = str(work_dir)
    build_runner(config).train()
    return work_dir / "epoch_1.pth"


@pytest.fixture(scope="module")
def teacher(tiny_set, tmp_path_factory):
    """The checkpoint of an image teacher of half of the labels."""
    half = {"train_dataloader.dataset.label_fraction": 0.5}
    return trained("teacher_tinyresnet_builtin", tiny_set, tmp_path_factory.mktemp("teacher"), **half)


def student(data, work_dir, checkpoint, fraction):
    online = {"type": "MultiViewTeacher", "trunk": "test_resnet", "checkpoint": str(checkpoint)}
    return trained(
        "pointmcd_pointnet_meshes",
        data,
        work_dir,
        **{
            "model.teacher": {"_delete_": True, **online, "pretrained": False, "num_classes": None},
            "train_dataloader.dataset.teacher": None,
            "train_dataloader.dataset.views": "all",
            "train_dataloader.dataset.num_points": 32,
            "train_dataloader.dataset.label_fraction": fraction,
            "train_dataloader.dataset.unlabelled": "rest",
        },
    )


def test_a_teacher_asked_in_training_has_seen_the_same_labels(tiny_set, teacher, tmp_path):
    assert student(tiny_set, tmp_path / "same", teacher, 0.5).is_file()
    with pytest.raises(ValueError, match=r"epoch_1\.pth has seen the labels of 12 shapes.*but .* those of 4"):
        student(tiny_set, tmp_path / "fewer", teacher, 0.2)


def another_set(data, root, **changes):
    """A copy of a set whose manifest says something else."""
    shutil.copytree(data, root)
    manifest = json.loads((root / "manifest.json").read_text())
    del manifest["manifest_sha256"]
    manifest |= changes
    (root / "manifest.json").write_text(json.dumps(manifest | {"digest": manifest_digest(manifest)}))
    return root


OTHERS = [
    ({"source": "elsewhere"}, "the labels that it has seen of this one are not known"),
    ({"class_names": ["a", "b", "c", "d"]}, r"whose classes are \['a', 'b', 'c', 'd'\]; it says"),
]


@pytest.mark.parametrize(("changes", "message"), OTHERS, ids=["shapes", "classes"])
def test_a_teacher_of_another_set_is_refused(tiny_set, teacher, tmp_path, changes, message):
    """Cached, and asked in training; an older checkpoint says nothing of its set."""
    other = another_set(tiny_set, tmp_path / "other", **changes)
    words = ["teacher_tinyresnet_builtin", str(teacher), "--name", "t", "--cfg-options", f"data_root={other}"]
    with pytest.raises(SystemExit, match=message):
        cache_teacher.main(words)
    assert not (other / "teachers/t").exists()
    with pytest.raises(ValueError, match=message):
        student(other, tmp_path / "student", teacher, 0.5)
    if "source" in changes:
        saved = read_checkpoint(teacher)
        del saved["meta"]["statement"]
        torch.save(saved, tmp_path / "older.pth")
        words[1] = str(tmp_path / "older.pth")
        cache_teacher.main(words)
        assert (other / "teachers/t/meta.json").is_file()


def test_a_teacher_asked_in_training_began_with_no_other(tiny_set, teacher, tmp_path):
    saved = read_checkpoint(teacher)
    saved["meta"]["cfg"] = saved["meta"]["cfg"].replace("load_from = None", "load_from = 'elsewhere.pth'")
    torch.save(saved, tmp_path / "further.pth")
    with pytest.raises(ValueError, match="began with the weights of another training"):
        student(tiny_set, tmp_path / "student", tmp_path / "further.pth", 0.5)


def test_a_training_that_began_with_another_is_refused(teacher, tmp_path):
    saved = read_checkpoint(teacher)
    check_own_weights(saved, teacher)
    text = saved["meta"]["cfg"]
    (tmp_path / "weights.pth").write_bytes(b"of something else")
    for line in (f"checkpoint={str(teacher)!r}", f"checkpoint={str(tmp_path / 'weights.pth')!r}"):
        saved["meta"]["cfg"] = text.replace("model = dict(", f"model = dict({line},", 1)
        assert saved["meta"]["cfg"] != text
        if "weights" in line:
            check_own_weights(saved, teacher)
            continue
        with pytest.raises(ValueError, match="began with the weights of another training"):
            check_own_weights(saved, teacher)
    start = read_checkpoint(teacher)
    start["meta"]["statement"]["data_digest"] = "0" * 64
    torch.save(start, tmp_path / "of_another_set.pth")
    line = f"checkpoint={str(tmp_path / 'of_another_set.pth')!r}"
    saved["meta"]["cfg"] = text.replace("model = dict(", f"model = dict({line},", 1)
    check_own_weights(saved, teacher)
    further = text.replace("load_from = None", "load_from = 'elsewhere.pth'")
    saved["meta"]["cfg"] = further.replace("type='MultiViewTeacher'", "type='AutoencoderTeacher'")
    assert saved["meta"]["cfg"] != further
    check_own_weights(saved, teacher)
    saved["meta"]["cfg"] = further
    with pytest.raises(ValueError, match="began with the weights of another training"):
        check_own_weights(saved, teacher)


def test_what_a_resumed_training_changes_is_said(tiny_set, teacher):
    saved = read_checkpoint(teacher)
    options = {"data_root": str(tiny_set), "train_dataloader.dataset.label_fraction": 0.5}
    config = load_config(CONFIGS / "teacher_tinyresnet_builtin.py", options)
    assert changed_settings(saved, config) == []
    views = config.train_dataloader.dataset.views
    config.model.trunk = "test_vit"
    config.model.data_preprocessor.transforms[0]["p"] = 0.25
    config.train_dataloader.dataset.views = 2
    assert set(changed_settings(saved, config)) == {
        "model.trunk: before test_resnet, now test_vit",
        f"train_dataloader.dataset.views: before {views}, now 2",
        "model.data_preprocessor.transforms.0.p: before None, now 0.25",
    }
