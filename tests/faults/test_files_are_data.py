"""Nothing in a checkpoint is imported, called or run, wherever it is read; what is damaged is named."""

import json
from pathlib import Path

import pytest
import torch

from pointmcd.checkpoint import read_checkpoint
from pointmcd.commands import export_student, extract_features, test, train
from pointmcd.engine.agreement import statement_of
from pointmcd.models.teachers.base import decode_settings, encode_settings
from pointmcd.registry import MODELS

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.mark.parametrize(
    "saved",
    [
        torch.zeros(4, dtype=torch.uint8),
        torch.zeros(4),
        torch.zeros(2, 2, dtype=torch.uint8),
        torch.zeros((), dtype=torch.uint8),
        torch.zeros(1, dtype=torch.uint8).expand(10**12),
        torch.tensor(list(b"[" * 60_000), dtype=torch.uint8),
        torch.tensor(list(b"[1, 2]"), dtype=torch.uint8),
        torch.tensor(list(b"\xff\xfe"), dtype=torch.uint8),
    ],
    ids=["zeros", "floats", "matrix", "scalar", "endless", "deep", "list", "not UTF-8"],
)
def test_damaged_settings_of_a_teacher_are_named(saved):
    with pytest.raises(ValueError, match="saved_settings of its teacher are damaged"):
        decode_settings(saved)


def test_settings_of_a_teacher_build_nothing():
    """They are compared with those of the config, and that is all."""
    teacher = MODELS.build({"type": "MultiViewTeacher", "num_classes": 2, "trunk": "test_resnet"})
    settings = teacher.settings | {"trunk": {"type": "subprocess.Popen", "args": ["touch", "ran"]}}
    state = teacher.state_dict() | {"saved_settings": encode_settings(settings)}
    with pytest.raises(ValueError, match=r"was trained with trunk=.*'subprocess.Popen'.* agree"):
        teacher.load_state_dict(state)


@pytest.fixture(scope="module")
def trained(taught_set, tmp_path_factory):
    """A checkpoint of one step, and the words that trained it."""
    folder = tmp_path_factory.mktemp("hostile")
    points = [f"{split}_dataloader.dataset.num_points=64" for split in ("train", "val", "test")]
    options = [f"data_root={taught_set}", "train_dataloader.batch_size=24", "train_cfg.max_epochs=1", *points]
    words = [str(CONFIGS / "baseline_pointnet_modelnet.py"), "--cfg-options", *options]
    train.main([*words, "--work-dir", str(folder)])
    return folder / "epoch_1.pth", words


def exit_code(command, arguments):
    try:
        return command.main(arguments)
    except SystemExit as end:
        return end.code


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("config", "open('ran', 'w').close()\ngpu_ids = [0]"),
        ("cfg", "open('ran', 'w').close()\nmodel = dict(backbone=dict(type='attack.Backbone'))"),
        ("cfg", "model = dict(backbone=dict(type=open('ran', 'w')))"),
        ("statement", {"network": {"backbone": {"type": "attack.Backbone"}}}),
        ("dataset_meta", {"classes": {"type": "attack.Backbone"}}),
    ],
    ids=["config", "cfg", "call", "statement", "dataset_meta"],
)
def test_what_a_checkpoint_says_is_never_run(trained, key, value, tmp_path, monkeypatch):
    """Whether it is refused or not is another matter."""
    checkpoint, words = trained
    saved = read_checkpoint(checkpoint)
    saved["meta"][key] = value
    hostile = tmp_path / "epoch_1.pth"
    torch.save(saved, hostile)
    (tmp_path / "attack.py").write_text("open('ran', 'w').close()")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for command, arguments in (
        (train, [*words, "train_cfg.max_epochs=2", "--resume", str(hostile), "--work-dir", "work"]),
        (test, [words[0], str(hostile), *words[1:], "--work-dir", "work"]),
        (export_student, [words[0], str(hostile), "student.pth", *words[1:]]),
        (extract_features, [str(hostile), "features.npz", "--config", *words]),
    ):
        assert exit_code(command, arguments) != 2, "the command line is wrong"
        assert not (tmp_path / "ran").exists(), command.__name__


@pytest.mark.parametrize(
    "said",
    [
        {"network": {"backbone": {"type": "PointNet", "k": torch.zeros(3)}}},
        {"network": {"backbone": {"type": torch.zeros(3)}}},
        {"class_names": [torch.zeros(3)]},
        {"points": {"up": torch.zeros(2)}},
    ],
    ids=["argument", "type", "names", "points"],
)
def test_what_a_checkpoint_says_in_tensors_is_compared_as_text(said):
    plain = statement_of({"meta": {"statement": said}})
    assert "tensor([0., 0." in json.dumps(plain)


def test_long_text_of_a_config_is_not_parsed():
    """Of six megabytes a parser makes gigabytes."""
    text = "model = dict(backbone=dict(type='PointNet'))\n"
    assert statement_of({"meta": {"cfg": text}})["network"]["backbone"]["type"] == "PointNet"
    assert "network" not in statement_of({"meta": {"cfg": text + "#" * 2**20}})
