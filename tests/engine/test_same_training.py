"""A resumed training goes on with the labels, the set and the teacher that it began with."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from pointmcd.checkpoint import read_checkpoint
from pointmcd.datasets.manifest import manifest_digest
from pointmcd.datasets.teacher_cache import TeacherCacheWriter
from pointmcd.engine import build_runner, load_config
from pointmcd.engine.labels_seen import check_own_weights

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def train(name, data, work_dir, epochs=1, load_from=None, **dataset):
    options = {
        "data_root": str(data),
        "train_dataloader.batch_size": 8,
        "train_dataloader.dataset.num_points": 32,
        "train_cfg.max_epochs": epochs,
        **{f"train_dataloader.dataset.{key}": value for key, value in dataset.items()},
    }
    config = load_config(CONFIGS / f"{name}.py", options)
    config.val_dataloader = config.val_cfg = config.val_evaluator = None
    config.work_dir, config.resume, config.load_from = str(work_dir), load_from is None, load_from
    build_runner(config).train()


def write_teacher(root, seed):
    """A cache named frozen of random logits."""
    generator = torch.Generator().manual_seed(seed)
    with TeacherCacheWriter(root, "frozen") as writer:
        for split in writer.prepared.splits:
            logits = torch.randn(len(writer.prepared.split(split)), 4, generator=generator)
            writer.write_split(split, [{"logits": logits}])
        writer.finish({"accuracy": {}})


@pytest.fixture(scope="module")
def begun(tiny_set, tmp_path_factory):
    """The folder of a training of all labels."""
    folder = tmp_path_factory.mktemp("begun")
    train("baseline_pointnet_meshes", tiny_set, folder)
    return folder


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"label_fraction": 0.5}, "was trained with label_fraction 1.0, not 0.5, and .* --work-dir"),
        ({"split": "fit"}, "split train, not fit"),
        ({"fraction_seed": 3}, "fraction_seed 0, not 3"),
        ({"without_fold": (1, 3)}, r"without_fold None, not \[1, 3\]"),
        ({"unlabelled": "rest"}, "unlabelled None, not rest"),
    ],
)
def test_other_labels_are_refused(tiny_set, begun, tmp_path, dataset, message):
    work_dir = shutil.copytree(begun, tmp_path / "work")
    with pytest.raises(ValueError, match=message):
        train("baseline_pointnet_meshes", tiny_set, work_dir, 2, **dataset)
    assert not (work_dir / "epoch_2.pth").exists()


def test_another_set_is_refused_wherever_it_is_given(tiny_set, begun, tmp_path):
    other = shutil.copytree(tiny_set, tmp_path / "other")
    manifest = json.loads((other / "manifest.json").read_text())
    del manifest["manifest_sha256"]
    manifest["source"] = "elsewhere"
    (other / "manifest.json").write_text(json.dumps(manifest | {"digest": manifest_digest(manifest)}))
    work_dir = shutil.copytree(begun, tmp_path / "work")
    for data, options in ((other, {}), (tiny_set, {"data_root": str(other)})):
        with pytest.raises(ValueError, match=r"trained with a set of digest \w{16}, not \w{16} \(.*other\)"):
            train("baseline_pointnet_meshes", data, work_dir, 2, **options)
    train("baseline_pointnet_meshes", tiny_set, tmp_path / "away", data_root=str(other))
    stated = read_checkpoint(tmp_path / "away/epoch_1.pth")["meta"]["statement"]
    assert stated["data_digest"] == manifest_digest(manifest)


def test_another_teacher_is_refused(tiny_set, tmp_path):
    root = shutil.copytree(tiny_set, tmp_path / "set")
    write_teacher(root, 0)
    train("pointmcd_pointnet_meshes", root, tmp_path / "work")
    write_teacher(root, 1)
    with pytest.raises(ValueError, match="was trained with another teacher than frozen is now"):
        train("pointmcd_pointnet_meshes", root, tmp_path / "work", 2)
    saved = read_checkpoint(tmp_path / "work/epoch_1.pth")
    del saved["meta"]["statement"]["teacher"]
    older = tmp_path / "older"
    older.mkdir()
    torch.save(saved, older / "epoch_1.pth")
    train("pointmcd_pointnet_meshes", root, older, 2)  # it does not say
    write_teacher(root, 0)
    train("pointmcd_pointnet_meshes", root, tmp_path / "work", 2)
    assert (tmp_path / "work/epoch_2.pth").is_file()


def test_weights_of_before_are_stated_after_resuming(tiny_set, begun, tmp_path):
    start = str(begun / "epoch_1.pth")
    train("baseline_pointnet_meshes", tiny_set, tmp_path / "work", load_from=start, label_fraction=0.5)
    for epochs in (2, 3):
        train("baseline_pointnet_meshes", tiny_set, tmp_path / "work", epochs, label_fraction=0.5)
        path = tmp_path / f"work/epoch_{epochs}.pth"
        with pytest.raises(ValueError, match="began with the weights of another training"):
            check_own_weights(read_checkpoint(path), path)
