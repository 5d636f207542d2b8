"""Trainings that are interrupted, killed or set up wrongly: nothing is lost, nothing goes wrong unsaid."""

import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook

from pointmcd.checkpoint import read_checkpoint
from pointmcd.commands import test as test_command
from pointmcd.commands import train as train_command
from pointmcd.engine import build_runner, load_config
from pointmcd.engine.work_dir import check_free, newest_checkpoint, sole_training

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = REPOSITORY / "configs/baseline_pointnet_modelnet.py"
TINY = {
    "train_dataloader.batch_size": 8,
    "train_dataloader.dataset.num_points": 32,
    "val_dataloader.dataset.num_points": 32,
    "test_dataloader.dataset.num_points": 32,
    "model.backbone.out_channels": 16,
    "model.head.channels": 16,
    "train_cfg.max_epochs": 3,
    "train_cfg.val_interval": 10,
    "default_hooks.checkpoint.interval": 1,
}


def tiny(data, work_dir, **more):
    """Three steps an epoch, three epochs, of which the last checkpoint is kept."""
    overrides = {"data_root": str(data), **TINY}
    overrides |= {key.replace("__", "."): value for key, value in more.items()}
    config = load_config(CONFIG, overrides)
    config.work_dir = str(work_dir)
    return config


def words(data):
    return ["--cfg-options", f"data_root={data}", *(f"{key}={value}" for key, value in TINY.items())]


class At(Hook):
    """Does something in the middle of a training."""

    def __init__(self, iteration, action):
        self.iteration, self.action = iteration, action

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == self.iteration:
            self.action(runner, outputs)


def raise_signal(number):
    return lambda runner, outputs: os.kill(os.getpid(), number)


def assert_same_weights(first, second):
    first, second = (read_checkpoint(path)["state_dict"] for path in (first, second))
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.fixture(scope="module")
def whole(tiny_set, tmp_path_factory):
    """The work dir of a training that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    build_runner(tiny(tiny_set, folder)).train()
    return folder


def test_the_last_checkpoint_alone_is_kept_and_noted(whole):
    assert [path.name for path in whole.glob("*.pth*")] == ["epoch_3.pth"]
    assert (whole / "last_checkpoint").read_text() == str(whole / "epoch_3.pth")
    assert read_checkpoint(whole / "epoch_3.pth")["meta"]["statement"]["network"]["backbone"]["type"]


@pytest.mark.parametrize(("number", "iteration"), [(signal.SIGTERM, 4), (signal.SIGINT, 5)])
def test_a_signal_stores_the_step_and_resuming_is_bit_exact(tiny_set, tmp_path, whole, number, iteration):
    """In the middle of the second epoch, and at its last step."""
    runner = build_runner(tiny(tiny_set, tmp_path))
    runner.register_hook(At(iteration, raise_signal(number)))
    steps = iteration - 2
    with pytest.raises(KeyboardInterrupt, match=f"{number.name} .* after 1 epoch and {steps} steps") as found:
        runner.train()
    assert found.value.signal == number
    assert sorted(path.name for path in tmp_path.glob("*.pth*")) == ["epoch_1.pth", "interrupted.pth"]
    config = tiny(tiny_set, tmp_path)
    config.resume = True
    build_runner(config).train()
    assert_same_weights(whole / "epoch_3.pth", tmp_path / "epoch_3.pth")
    assert [path.name for path in tmp_path.glob("*.pth*")] == ["epoch_3.pth"]


def test_the_tool_says_how_to_go_on(tiny_set, tmp_path, monkeypatch, capsys):
    def interrupted(config):
        runner = build_runner(config)
        runner.register_hook(At(1, raise_signal(signal.SIGTERM)))
        return runner

    monkeypatch.setattr("pointmcd.engine.build_runner", interrupted)
    with pytest.raises(SystemExit) as ended:
        train_command.main([str(CONFIG), "--work-dir", str(tmp_path), *words(tiny_set)])
    assert ended.value.code == 143
    said = capsys.readouterr().err
    assert "SIGTERM ended the training after 0 epochs and 2 steps" in said
    assert "the same command with --resume goes on" in said
    assert "Traceback" not in said


def test_workers_survive_a_signal_to_the_group(tiny_set, tmp_path):
    """Ctrl-C reaches a loader's workers too; they leave it to their parent, and none is left behind."""
    workers = []

    def interrupt(runner, outputs):
        import multiprocessing

        workers.extend(multiprocessing.active_children())
        for worker in workers:
            os.kill(worker.pid, signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    runner = build_runner(tiny(tiny_set, tmp_path, train_dataloader__num_workers=1))
    runner.register_hook(At(1, interrupt))
    with pytest.raises(KeyboardInterrupt, match="after 0 epochs and 2 steps"):
        runner.train()
    del runner
    assert workers
    for worker in workers:
        worker.join(20)
        assert not worker.is_alive()


def test_a_kill_between_storing_and_deleting_loses_nothing(tiny_set, tmp_path, whole):
    """As it is left then: both files, the note about the older one, and a stump of the next."""
    runner = build_runner(tiny(tiny_set, tmp_path))

    class KilledError(Exception):
        pass

    def kill(*args, **kwargs):
        raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        runner.register_hook(At(3, lambda *_: patch.setattr("pointmcd.engine.hooks.note_last", kill)))
        with pytest.raises(KilledError):
            runner.train()
    (tmp_path / "epoch_3.pth.4321.tmp").write_bytes(b"half")
    assert sorted(path.name for path in tmp_path.glob("*.pth")) == ["epoch_1.pth", "epoch_2.pth"]
    assert newest_checkpoint(tmp_path) == (tmp_path / "epoch_2.pth", [])
    config = tiny(tiny_set, tmp_path)
    config.resume = True
    build_runner(config).train()
    assert [path.name for path in tmp_path.glob("*.pth*")] == ["epoch_3.pth"]
    assert_same_weights(whole / "epoch_3.pth", tmp_path / "epoch_3.pth")


def test_the_newest_readable_checkpoint_is_taken_and_the_others_named(whole, tmp_path):
    for number in (1, 2, 10):
        shutil.copy(whole / "epoch_3.pth", tmp_path / f"epoch_{number}.pth")
        os.utime(tmp_path / f"epoch_{number}.pth", (number, number))
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "epoch_10.pth"))
    assert newest_checkpoint(tmp_path) == (tmp_path / "epoch_10.pth", [])
    (tmp_path / "epoch_10.pth").write_bytes((whole / "epoch_3.pth").read_bytes()[:5000])
    found, unreadable = newest_checkpoint(tmp_path)
    assert found == tmp_path / "epoch_2.pth"
    assert len(unreadable) == 1
    assert "epoch_10.pth is damaged" in unreadable[0]
    for number in (1, 2):
        (tmp_path / f"epoch_{number}.pth").write_bytes(b"")
    with pytest.raises(ValueError, match=r"(?s)no checkpoint in .* can be read.*epoch_10.*epoch_2.*epoch_1"):
        newest_checkpoint(tmp_path)
    assert newest_checkpoint(tmp_path / "none") == (None, [])


def test_two_trainings_in_one_folder_are_refused(tiny_set, tmp_path):
    code = (
        "import sys; from pointmcd.engine.work_dir import sole_training\n"
        "with sole_training(sys.argv[1]): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match=rf"another training \(process {other.pid}\) is using"):
            build_runner(tiny(tiny_set, tmp_path))
        assert [path.name for path in tmp_path.iterdir()] == ["training.lock"]
        with pytest.raises(ValueError, match="another training"), sole_training(tmp_path):
            pass
        other.kill()
    with sole_training(tmp_path):  # released by its death
        check_free(tmp_path)  # of this process's own no other knows
        done = subprocess.run(command, input="", capture_output=True, text=True, check=False, cwd=REPOSITORY)
        assert "another training" in done.stderr


def test_a_loss_that_is_no_number_ends_the_run_and_is_named(tiny_set, tmp_path):
    def spoil(runner, outputs):
        with torch.no_grad():
            runner.model.head.classifier.weight.fill_(float("nan"))

    runner = build_runner(tiny(tiny_set, tmp_path))
    runner.register_hook(At(3, spoil))
    with pytest.raises(ValueError, match=r"loss_task is not finite in epoch 2, step 2 \(iteration 5\)"):
        runner.train()
    assert [path.name for path in tmp_path.glob("*.pth*")] == ["epoch_1.pth"]


def test_points_that_are_no_numbers_are_named(tiny_set, tmp_path):
    shutil.copytree(tiny_set, tmp_path / "set")
    path = tmp_path / "set/train/points.npy"
    points = np.load(path)
    points[:] = np.nan
    np.save(path, points)
    config = tiny(tmp_path / "set", tmp_path / "work")
    with pytest.raises(ValueError, match=r"is not finite .*Points of this batch are not finite"):
        build_runner(config).train()


def test_weights_that_are_no_numbers_are_not_stored(tiny_set, tmp_path):
    def spoil(runner, outputs):
        with torch.no_grad():
            runner.model.head.classifier.weight.fill_(float("inf"))

    runner = build_runner(tiny(tiny_set, tmp_path))
    runner.register_hook(At(5, spoil))  # the last step of the second epoch
    with pytest.raises(ValueError, match=r"classifier.weight is no longer finite, so epoch_2.pth was not"):
        runner.train()
    assert [path.name for path in tmp_path.glob("*.pth*")] == ["epoch_1.pth"]
    assert (tmp_path / "last_checkpoint").read_text() == str(tmp_path / "epoch_1.pth")


def test_no_step_is_no_training(tiny_set, tmp_path):
    config = tiny(tiny_set, tmp_path, train_dataloader__batch_size=100)
    message = r"train_dataloader has 24 shapes, .* batch of 100.* train_dataloader.batch_size=24"
    with pytest.raises(ValueError, match=message):
        build_runner(config).train()
    assert not list(tmp_path.glob("*.pth"))


def test_weights_that_do_not_fit_are_refused(tiny_set, tmp_path, whole):
    state = read_checkpoint(whole / "epoch_3.pth")["state_dict"]
    state["extra"] = torch.zeros(1)
    del state["head.classifier.weight"]
    torch.save({"state_dict": state}, tmp_path / "other.pth")
    config = tiny(tiny_set, tmp_path)
    config.load_from = str(tmp_path / "other.pth")
    with pytest.raises(
        ValueError, match=r"(?s)other.pth does not fit .*classifier.weight.*unexpected: extra"
    ):
        build_runner(config).train()
    with pytest.raises(SystemExit, match="does not fit this config"):
        test_command.main([str(CONFIG), str(tmp_path / "other.pth"), *words(tiny_set)])


def test_another_network_of_the_same_weights_is_refused(tiny_set, tmp_path, whole):
    arguments = [*words(tiny_set), "model.backbone.type=DGCNN"]
    with pytest.raises(SystemExit, match=r"backbone\.type: PointNet in the checkpoint, DGCNN here"):
        test_command.main([str(CONFIG), str(whole / "epoch_3.pth"), *arguments])


def test_hooks_of_a_leaf_config_drop_none_that_is_needed(tiny_set, tmp_path):
    leaf = tmp_path / "leaf.py"
    leaf.write_text(f"_base_ = {str(CONFIG)!r}\ncustom_hooks = [dict(type='EMAHook')]\n")
    config = load_config(leaf, {"data_root": str(tiny_set), **TINY, "train_cfg.max_epochs": 1})
    config.work_dir = str(tmp_path / "work")
    runner = build_runner(config)
    names = [type(hook).__name__ for hook in runner.hooks]
    assert {"EMAHook", "SeedHook", "TeacherMetricsHook", "WatchHook"} <= set(names)
    runner.train()
    assert "ema_state_dict" in read_checkpoint(tmp_path / "work/epoch_1.pth")


def test_resuming_for_more_epochs_follows_the_longer_schedule(tiny_set, tmp_path):
    """A finished training goes on as one that was meant to be longer, by epoch and by iteration."""

    def rates(work_dir, epochs, resume=False):
        config = tiny(tiny_set, work_dir, train_cfg__max_epochs=epochs)
        config.param_scheduler = [
            {"type": "CosineAnnealingLR", "T_max": epochs, "eta_min": 1e-3, "by_epoch": True},
            {"type": "LinearLR", "start_factor": 0.1, "by_epoch": False, "end": 4},
        ]
        config.resume = resume
        runner, found = build_runner(config), {}
        note = At(None, None)
        note.after_train_iter = lambda runner, *_, **__: found.update(
            {runner.iter: runner.optim_wrapper.get_lr()["lr"][0]}
        )
        note.priority = "HIGHEST"
        runner.register_hook(note)
        runner.train()
        return found

    whole = rates(tmp_path / "whole", 4)
    first = rates(tmp_path / "parts", 2)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Detected call of `scheduler.step")  # MMEngine's, of a wrong order
        longer = rates(tmp_path / "parts", 4, resume=True)
    assert list(longer) == list(range(6, 12))
    assert first[5] != pytest.approx(whole[5])
    np.testing.assert_allclose([longer[i] for i in longer], [whole[i] for i in longer], rtol=1e-9)


def test_a_schedule_that_is_over_is_not_resumed(tiny_set, tmp_path):
    build_runner(tiny(tiny_set, tmp_path, train_cfg__max_epochs=2)).train()
    for epochs in (2, 1):
        config = tiny(tiny_set, tmp_path, train_cfg__max_epochs=epochs)
        config.resume = True
        runner = build_runner(config)
        if epochs == 2:  # the same command again, as of a script
            runner.train()
            assert runner.epoch == 2
            continue
        with pytest.raises(
            ValueError, match=r"epoch_2.pth has 2 epochs; train_cfg.max_epochs is 1, give 2 or"
        ):
            runner.train()


def test_each_runner_of_a_process_has_folders_of_its_own(tiny_set, tmp_path):
    runners = [build_runner(tiny(tiny_set, tmp_path)) for _ in range(2)]
    assert runners[0].log_dir != runners[1].log_dir
    assert runners[0].visualizer is not runners[1].visualizer
    assert runners[0].logger is not runners[1].logger
    assert runners[0].message_hub is not runners[1].message_hub


def test_a_test_needs_none_of_the_training(tiny_set, tmp_path, whole, monkeypatch):
    """Three ranks do not divide its batches, and its training batch is of no concern."""
    from pointmcd.engine import dist

    monkeypatch.setattr(dist, "world_size", lambda: 3)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    config = tiny(tiny_set, tmp_path, test_dataloader__batch_size=4)
    for name in ("train_dataloader", "val_dataloader"):
        config[name] = None
    assert dist.distribute(config).test_dataloader.batch_size == 2


def test_without_a_head_processes_allow_for_a_last_layer_that_nothing_uses(tiny_set, tmp_path, monkeypatch):
    """Losses of single points alone: DDP ended such a training at its second step."""
    from pointmcd.engine import dist

    monkeypatch.setattr(dist, "world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    for head, unused in ((None, True), ({"type": "ClassificationHead"}, False)):
        config = tiny(tiny_set, tmp_path, train_dataloader__batch_size=4)
        config.model.head = head
        assert dist.distribute(config).find_unused_parameters == unused
        if not torch.cuda.is_available():
            assert config.model_wrapper_cfg.find_unused_parameters == unused


def test_what_a_test_leaves_is_a_report_alone(tiny_set, whole):
    before = (whole / "baseline_pointnet_modelnet.py").read_text()
    test_command.main([str(CONFIG), str(whole / "epoch_3.pth"), *words(tiny_set), "randomness.seed=5"])
    assert (whole / "baseline_pointnet_modelnet.py").read_text() == before
    assert "overall_accuracy" in json.loads((whole / "test_epoch_3.json").read_text())


def test_weights_of_timm_without_a_network_name_the_way_out(tmp_path, monkeypatch):
    """The hub is a port at which nothing listens, and the cache is empty."""
    from huggingface_hub import constants

    from pointmcd.models.teachers import trunks

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(trunks, "getproxies", dict)
    with pytest.raises(ValueError, match=r"model\.pretrained=False model\.checkpoint=FILE"):
        trunks.build_trunk("test_resnet", pretrained=True)
    assert not constants.HF_HUB_OFFLINE


def test_a_log_that_cannot_be_written_ends_the_run_and_a_terminal_that_is_gone_does_not(
    taught_set, tmp_path, monkeypatch
):
    with open("/dev/full", "w") as full:
        runner = build_runner(tiny(taught_set, tmp_path / "one", train_cfg__max_epochs=1))
        terminal = runner.logger.handlers[0]
        monkeypatch.setattr("sys.stdout", full)
        runner.logger.warning("a line")
        runner.train()
        assert (tmp_path / "one/epoch_1.pth").is_file()
        assert terminal not in runner.logger.handlers
        log = runner.logger.handlers[0]
        log.setStream(full)
        with pytest.raises(OSError, match="No space left on device") as caught:
            runner.logger.info("a line")
        assert str(caught.value.filename) == log.baseFilename
        with pytest.raises(OSError, match="No space left"):
            log.close()
