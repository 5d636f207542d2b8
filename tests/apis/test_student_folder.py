"""The folder of a student: the same predictions, a card that the Hub reads, and no trust in what it says."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard

from pointmcd.apis import load_student
from pointmcd.apis.model_card import NOT_TESTED, model_card
from pointmcd.commands.export_student import main as export
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.engine import load_config
from pointmcd.files import file_sha256
from pointmcd.registry import MODELS

CONFIG = Path(__file__).resolve().parents[2] / "configs/pointmcd_pointnet_builtinpart.py"
CLOUD = np.random.default_rng(0).normal(size=(300, 3))


@pytest.fixture(scope="module")
def exported(parts_set, tmp_path_factory):
    """What the command leaves of a network that was tested: ``student.pth``, and the folder ``student``."""
    root = tmp_path_factory.mktemp("exported")
    options = [f"data_root={parts_set}", "model.backbone.out_channels=16", "model.head.channels=(8,)"]
    options += [f"{split}_dataloader.dataset.num_points=100" for split in ("train", "val", "test")]
    torch.manual_seed(0)
    model = MODELS.build(load_config(CONFIG, options).model)
    torch.save({"state_dict": model.state_dict()}, root / "epoch_1.pth")
    (root / "data_root.json").write_text(json.dumps(str(parts_set)))
    figures = {"instance_miou": 81.234, "category_miou": 79.0, "labels": [0, 1], "protocol": "standard"}
    tested = {"data_digest": PreparedSet(parts_set).digest, "split": "test"}
    tested["checkpoint_sha256"] = file_sha256(root / "epoch_1.pth")
    (root / "test_epoch_1.json").write_text(json.dumps(figures | tested))
    words = [CONFIG, root / "epoch_1.pth", root / "student.pth", "--folder", root / "student"]
    export([*map(str, words), "--cfg-options", *options])
    return root


def card_of(exported, folder, **changed):
    """The card beside a test that says something else."""
    for name in ("epoch_1.pth", "test_epoch_1.json"):
        shutil.copy(exported / name, folder / name)
    report = json.loads((folder / "test_epoch_1.json").read_text())
    (folder / "test_epoch_1.json").write_text(json.dumps(report | changed))
    read = torch.load(exported / "student.pth", weights_only=True)
    root = json.loads((exported / "data_root.json").read_text())
    return model_card(read, load_config(CONFIG, [f"data_root={root}"]), folder / "epoch_1.pth", "student")


@pytest.mark.parametrize(
    "changed", [{"split": "train"}, {"data_digest": "0" * 64}, {"checkpoint_sha256": "0" * 64}]
)
def test_the_card_has_no_figures_of_another_test(exported, tmp_path, changed):
    assert NOT_TESTED in card_of(exported, tmp_path, **changed)


def test_the_card_names_a_protocol_of_its_own(exported, tmp_path):
    card = card_of(exported, tmp_path, protocol="official")
    assert "no voting, by the protocol of PointMCD's release." in card
    assert "name: instance mIoU, by the protocol" in card


@pytest.fixture
def folder(exported, tmp_path):
    return Path(shutil.copytree(exported / "student", tmp_path / "student"))


def change(folder, **values):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def test_the_folder_says_what_the_file_says(exported):
    assert {path.name for path in (exported / "student").iterdir()} == {
        "config.json",
        "model.safetensors",
        "README.md",
    }
    file, folder = load_student(exported / "student.pth"), load_student(exported / "student")
    for name in ("class_names", "part_names", "class_parts", "num_points", "settings"):
        assert getattr(file, name) == getattr(folder, name)
    np.testing.assert_array_equal(file.segment(CLOUD, "lamp").parts, folder.segment(CLOUD, "lamp").parts)
    np.testing.assert_array_equal(file.embed(CLOUD), folder.embed(CLOUD))


def test_the_card_is_read_by_the_hub(exported):
    card = ModelCard((exported / "student/README.md").read_text())
    assert card.data.library_name == "pointmcd"
    assert card.data.model_name == "student"
    figures = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert figures == {"instance mIoU": 81.23, "category mIoU": 79.0}
    assert "| instance mIoU | 81.23 % |" in card.text
    assert "12 in train, 6 in test" in card.text
    assert "image teacher `parts`" in card.text


@pytest.mark.parametrize(
    ("name", "does"),
    [
        ("pointmcd_pointnet_builtinpart", "segment"),
        ("baseline_pointnet_builtin", "classify"),
        ("pointmcd_pointnet_unlabelled", "embed"),
    ],
)
def test_what_the_card_shows_can_be_run(name, does, parts_set, tmp_path, monkeypatch):
    options = [f"data_root={parts_set}", "train_dataloader.dataset.num_points=100"]
    if does != "embed":
        options += [f"{split}_dataloader.dataset.num_points=100" for split in ("val", "test")]
    config = CONFIG.with_name(f"{name}.py")
    torch.manual_seed(0)
    torch.save(
        {"state_dict": MODELS.build(load_config(config, options).model).state_dict()}, tmp_path / "c.pth"
    )
    words = [config, tmp_path / "c.pth", tmp_path / "s.pth", "--folder", tmp_path / "FOLDER"]
    export([*map(str, words), "--cfg-options", *options])
    (example,) = re.findall("```python\n(.*?)```", (tmp_path / "FOLDER/README.md").read_text(), re.DOTALL)
    assert f"student.{does}(" in example
    monkeypatch.chdir(tmp_path)
    np.savetxt("chair.xyz", CLOUD)
    exec(example.replace("chair.off", "chair.xyz"), {})


def test_weights_of_another_export_are_refused(folder):
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-4] + b"\0\0\0\1")
    with pytest.raises(ValueError, match=r"does not match the SHA-256 in .*config\.json"):
        load_student(folder)


def test_what_a_folder_says_is_data(folder, tmp_path, monkeypatch):
    (tmp_path / "attack.py").write_text("open('ran', 'w').close()")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for backbone in ({"type": "attack.Backbone"}, {"type": "PointNet", "out_channels": 10**9}, "os.system"):
        model = {"type": "PointModel", "backbone": backbone, "head": None}
        change(folder, model=model)
        with pytest.raises(ValueError, match="is not a student that can be used"):
            load_student(folder)
    assert not (tmp_path / "ran").exists()
    (folder / "config.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"config.json is damaged"):
        load_student(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(ValueError, match=r"config.json is damaged: it is not a JSON object"):
        load_student(folder)


def test_what_is_missing_is_named(folder):
    change(folder, format="pointmcd student 9")
    with pytest.raises(ValueError, match="is not an exported student"):
        load_student(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"there is no checkpoint .*model.safetensors"):
        load_student(folder)
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"it has no config.json"):
        load_student(folder)
