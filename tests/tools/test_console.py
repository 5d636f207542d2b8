"""What a user sees while something runs: signs of life, a line an epoch, and nothing of other packages."""

import io
import json
import re
import threading
import warnings

import pytest
import torch
from rich.console import Console

from pointmcd import progress as progress_module
from pointmcd.commands import train
from pointmcd.commands.common import make_parser, plain_errors
from pointmcd.datasets.preparation.job import Request, prepare
from pointmcd.datasets.teacher_cache import TeacherCacheWriter
from pointmcd.engine.console import in_figures
from pointmcd.geometry import CameraRig
from pointmcd.progress import Progress, clock, is_live

SMALL = [f"{split}_dataloader.dataset.num_points=64" for split in ("train", "val", "test")]
EVERY_TWO = "default_hooks.logger.interval=2"
SMALL += ["train_dataloader.batch_size=8", "train_cfg.max_epochs=2", "train_cfg.val_interval=2"]


def console(terminal=False, file=None):
    return Console(file=file or io.StringIO(), force_terminal=terminal, width=100, _environ={})


def test_a_training_in_a_pipe(taught_set, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--cfg-options", f"data_root={taught_set}", *SMALL]
    train.main(["pointmcd_pointnet_modelnet", "--work-dir", "work", "--cfg-options", *options[1:], EVERY_TWO])
    first, one, two, empty, *block = capsys.readouterr().out.splitlines()
    assert first == "work: 2 epochs of 3 steps on 24 shapes"
    losses = r"loss \d\.\d{4} \(task \d\.\d{4}, tnet \d\.\d{4}, view \d\.\d{4}\)  \d:\d\d"
    assert re.fullmatch(rf"epoch 1/2  {losses}", one)
    figures = (
        r"overall accuracy \d+\.\d\d % \(teacher 75\.00 %\), mean class accuracy \d+\.\d\d % \(teacher .*\)"
    )
    assert (found := re.fullmatch(rf"epoch 2/2  {losses}  ({figures})", two))
    assert not empty
    # what a report draws of an epoch is what its line says
    (scalars,) = (tmp_path / "work").glob("*/vis_data/scalars.json")
    logged = [json.loads(line) for line in scalars.read_text().splitlines()]
    for epoch, line in enumerate((one, two), 1):
        last = [row for row in logged if row.get("epoch") == epoch][-1]
        assert f"loss {last['loss']:.4f} (task {last['loss_task']:.4f}" in line
    said = dict(line.split(maxsplit=1) for line in block)
    assert said["result"] == f"{found[1]}, test split, epoch 2"
    assert said["checkpoint"] == "work/epoch_2.pth"
    assert "Hooks will be executed" in (tmp_path / said["log"]).read_text()
    assert said["next"].startswith(
        f"pointmcd test pointmcd_pointnet_modelnet work/epoch_2.pth --cfg-options data_root={taught_set} "
    )


def test_a_finished_training_is_not_resumed_in_silence(taught_set, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["baseline_pointnet_modelnet", "--work-dir", "work", "--cfg-options", f"data_root={taught_set}"]
    words += [*SMALL, "train_cfg.max_epochs=1", "train_dataloader.batch_size=24"]
    train.main(words)
    assert "nothing was trained" not in capsys.readouterr().out
    before = (tmp_path / "work/epoch_1.pth").read_bytes()
    with pytest.raises(SystemExit, match=r"work holds a finished training \(epoch_1.pth\); .*--resume"):
        train.main(words)
    train.main([*words, "--resume"])
    _, first, *_, result, checkpoint, _, following = capsys.readouterr().out.splitlines()
    assert first == "work: 1 epoch of 1 step on 24 shapes, finished already"
    assert result == "result      finished already, at epoch 1: nothing was trained"
    assert checkpoint.endswith("work/epoch_1.pth")
    assert "pointmcd test baseline_pointnet_modelnet work/epoch_1.pth" in following
    assert (tmp_path / "work/epoch_1.pth").read_bytes() == before


def test_resume_in_an_empty_folder_begins_with_the_weights_of_load_from(taught_set, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = [f"data_root={taught_set}", *SMALL, "train_cfg.max_epochs=1", "train_dataloader.batch_size=24"]
    train.main(["baseline_pointnet_modelnet", "--work-dir", "a", "--cfg-options", *options])
    still = "optim_wrapper.optimizer=dict(type='SGD',lr=0.0)"
    options += ["load_from=a/epoch_1.pth", still, "randomness.seed=1"]
    train.main(["baseline_pointnet_modelnet", "--work-dir", "b", "--resume", "--cfg-options", *options])
    first, second = (
        torch.load(f"{run}/epoch_1.pth", weights_only=True)["state_dict"]["backbone.layer1.linear.weight"]
        for run in "ab"
    )
    assert torch.equal(first, second)


def test_features_of_a_set_without_labels_are_judged_on_another(
    taught_set, tiny_meshes, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    small = ["train_dataloader.batch_size=24", "train_dataloader.dataset.num_points=64"]

    def says(data):
        options = [f"data_root={data}", *small, "train_cfg.max_epochs=1"]
        folder = f"work_{data.name}"
        train.main(["pointmcd_pointnet_unlabelled", "--work-dir", folder, "--cfg-options", *options])
        return [line for line in capsys.readouterr().out.splitlines() if "--data" in line]

    assert says(taught_set)[0].endswith(f"--data {taught_set}")
    request = Request(
        "mesh-folder",
        {"source": tiny_meshes, "unlabelled": True},
        num_points=128,
        rig=CameraRig((0.0, 90.0), (30.0,) * 2),
        image_size=16,
    )
    prepare(request, tmp_path / "bare")
    writer = TeacherCacheWriter(tmp_path / "bare", "frozen")
    writer.write_split("train", iter([{"view_descriptors": torch.rand(36, 2, 8)}]))
    writer.finish({"accuracy": {}})
    following, what = says(tmp_path / "bare")
    assert following.endswith("--config pointmcd_pointnet_unlabelled --data data/meshes")
    assert what == "--data      any prepared set with labels and a test split"


def test_verbose_shows_the_log(taught_set, tmp_path, capsys):
    options = ["--cfg-options", f"data_root={taught_set}", *SMALL, "train_cfg.max_epochs=1"]
    train.main(["baseline_pointnet_modelnet", "--work-dir", str(tmp_path), "--verbose", *options])
    said = capsys.readouterr().out
    assert "Hooks will be executed" in said
    assert "System environment" in said
    assert "epoch 1/1" not in said


def test_the_teacher_stands_beside_its_student():
    metrics = {"overall_accuracy": 50.0, "teacher_overall_accuracy": 75.0, "image_l1": 0.25}
    assert in_figures(metrics) == "overall accuracy 50.00 % (teacher 75.00 %), image l1 0.2500"


class Told(io.StringIO):
    """A file that says when it is written to."""

    def __init__(self):
        super().__init__()
        self.event = threading.Event()

    def write(self, text):
        super().write(text)
        self.event.set()
        return len(text)


def test_a_step_that_takes_long_gives_a_sign_of_life(monkeypatch):
    monkeypatch.setattr(progress_module, "EVERY", 0.001)
    file = Told()
    with Progress(console(file=file)) as progress:
        progress.begin("reading", 3)
        assert file.event.wait(60)
        assert file.getvalue().startswith("reading, 0 of 3, 0:00 so far")


def test_the_time_left_is_known_after_the_first_step(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    progress = Progress(console())
    progress.begin("steps", total=10, done=4)
    assert progress.state() == "steps, 4 of 10, 0:00 so far"
    now[0] += 20
    progress.advance(note="loss 1")
    assert progress.state() == "steps, 5 of 10, loss 1, 1:40 left"


def test_a_bar_on_a_terminal_leaves_nothing_but_lines(monkeypatch):
    live = console(terminal=True)
    with Progress(live) as progress:
        assert list(progress.track(["a", "b"], "reading [x]")) == ["a", "b"]
        progress.print("a line [x]")
    assert "reading [x]" in live.file.getvalue()
    assert live.file.getvalue().count("a line [x]") == 1
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not is_live(live)
    assert not is_live(console())


def test_other_ranks_show_nothing(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(progress_module, "EVERY", 0.001)
    quiet = console(terminal=True)
    with Progress(quiet) as progress:
        list(progress.track(range(3), "reading"))
    assert not quiet.file.getvalue()


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.7, "1:00"), (3723, "1:02:03")])
def test_durations(seconds, text):
    assert clock(seconds) == text


@pytest.mark.parametrize("verbose", [False, True])
def test_deprecations_of_other_packages_are_left_out(verbose):
    @plain_errors()
    def main():
        make_parser("A command.").parse_args(["--verbose"] * verbose)
        for name in ("torch.jit", "pointmcd.models"):
            warnings.warn_explicit(f"old in {name}", DeprecationWarning, "x.py", 1, module=name)
        warnings.warn_explicit("pkg_resources is deprecated", UserWarning, "x.py", 2, module="mmengine.utils")
        warnings.warn_explicit("a real one", UserWarning, "x.py", 3, module="torch")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        main()
    said = [str(one.message) for one in caught]
    others = ["old in torch.jit", "pkg_resources is deprecated"] if verbose else []
    assert sorted(said) == sorted([*others, "old in pointmcd.models", "a real one"])
