"""From a complete config to a Runner: MMEngine's, but for how it stores, resumes and stops."""

import contextlib
import copy
import logging
import math
import signal
import sys
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import mmengine
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import barrier, broadcast_object_list, is_main_process, master_only
from mmengine.hooks import EMAHook
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, EpochBasedTrainLoop
from torch.utils.data import DataLoader

from pointmcd.checkpoint import load_weights, read_checkpoint, write_checkpoint
from pointmcd.compat import from_plain, to_plain, torchvision_unopened
from pointmcd.cpu import set_up_cpu
from pointmcd.datasets.loader_workers import report_lost_batches
from pointmcd.engine.agreement import check_agreement, statement
from pointmcd.engine.console import ConsoleHook, give_remarks_alone
from pointmcd.engine.dist import distribute
from pointmcd.engine.labels_seen import start_of
from pointmcd.engine.loops import TrainLoop
from pointmcd.engine.same_training import changed_settings, check_same_training, learns_from
from pointmcd.engine.schedules import resume_schedules
from pointmcd.engine.stopping import StopHere, StopRequest, TrainingStopped, WatchHook
from pointmcd.engine.work_dir import INTERRUPTED, check_free, newest_checkpoint, note_last, sole_training
from pointmcd.evaluation.statistics import counted

ALWAYS = ("SeedHook", "TeacherMetricsHook")
"""Hooks that every Runner has, whatever ``custom_hooks`` lists."""
LISTED_BEFORE = (*ALWAYS, "TeacherBesideHook", "PlainCheckpointHook")
"""What older configs list there."""


def build_runner(config: Config, training: bool = True) -> "Runner":
    """Return the Runner of a config of ``load_config``, in this process of those torchrun started.

    Args:
        config: The complete config.
        training: Train, and test afterwards; without, what only a training needs is not looked at.

    Raises:
        ValueError: A training lacks what it needs, its batch size does not divide by the number of
            processes, a component refuses an argument, or another training is at work in the work dir.
    """
    needed = ("train_dataloader", "train_cfg", "optim_wrapper")
    if training and (lacking := [name for name in needed if config.get(name) is None]):
        raise ValueError(
            f"the config has no {' and no '.join(lacking)}, which a training needs; they come from a recipe, "
            "such as baseline_pointnet_meshes.py, that the config names as its _base_"
        )
    if not training:
        config = copy.deepcopy(config)
        for name in ("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler"):
            config[name] = None
        for name in ("val_dataloader", "val_cfg", "val_evaluator"):
            config[name] = None
    return Runner.from_cfg(distribute(config))


class Runner(mmengine.runner.Runner):
    """MMEngine's Runner with checkpoints that are whole or not there, and trainings that can be interrupted.

    Attributes:
        stop_request: Whether a signal asks the training to end.
    """

    _timestamps: ClassVar[set[str]] = set()
    _timestamp: str
    _load_from: str | None
    _has_loaded: bool

    def setup_env(self, env_cfg: dict) -> None:
        """Give each Runner of a process a time stamp of its own: loggers and folders are named by it."""
        super().setup_env(env_cfg)
        if get_device() == "cpu":
            set_up_cpu()
        if self._train_loop is not None:  # before any of those is made
            _on_first_rank(partial(check_free, self.work_dir))
        stamp, number = self._timestamp, 1
        while self._timestamp in self._timestamps:
            number += 1
            self._timestamp = f"{stamp}_{number}"
        self._timestamps.add(self._timestamp)

    def _log_env(self, env_cfg: dict) -> None:
        with torchvision_unopened():
            super()._log_env(env_cfg)

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger; where its file cannot be written the run ends, instead of a traceback a line.

        Environment, config and hooks stay off the console where ``ConsoleHook`` has it.
        """
        logger = super().build_logger(*args, **kwargs)
        console = (self.cfg.get("default_hooks") or {}).get("console", {})
        if console is not None:
            give_remarks_alone(logger, console.get("lines", True))
        for handler in logger.handlers:
            handler.handleError = partial(_end_log, logger, handler)
        return logger

    def register_hooks(self, default_hooks: dict | None = None, custom_hooks: list | None = None) -> None:
        """Register what every run needs, then what the config lists."""
        self.stop_request = StopRequest()
        defaults = {
            "sync_batch_norm": {"type": "SyncBatchNormHook"},
            "console": {"type": "ConsoleHook"},
            **(default_hooks or {}),
        }
        own = {"runtime_info", "timer", "sampler_seed", "logger", "param_scheduler", "checkpoint"}
        self.register_default_hooks({k: v for k, v in defaults.items() if v is not None or k in own})
        for name in ALWAYS:
            self.register_hook({"type": name})
        self.register_hook(WatchHook(self.stop_request))
        for hook in custom_hooks or []:
            if not isinstance(hook, dict) or hook.get("type") not in LISTED_BEFORE:
                self.register_hook(hook)

    @cached_property
    def _statement(self) -> dict[str, Any]:
        return statement(self.cfg) | learns_from(self.train_dataloader.dataset, self.cfg.model)

    @staticmethod
    def build_dataloader(dataloader: DataLoader | dict, *args: Any, **kwargs: Any) -> DataLoader:
        """Build a loader whose workers never leave a batch waited for."""
        return report_lost_batches(mmengine.runner.Runner.build_dataloader(dataloader, *args, **kwargs))

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the loop, and refuse one that would make no step."""
        if isinstance(loop, dict) and "type" not in loop and loop.get("by_epoch"):
            arguments = {key: value for key, value in loop.items() if key != "by_epoch"}
            loop = TrainLoop(**arguments, runner=self, dataloader=self._train_dataloader)
        loop = super().build_train_loop(loop)
        _check_steps("train_dataloader", loop.dataloader, self.world_size)
        return loop

    def build_val_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the loop, and refuse one that would look at nothing."""
        loop = super().build_val_loop(loop)
        _check_steps("val_dataloader", loop.dataloader, self.world_size)
        return loop

    def build_test_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the loop, and refuse one that would look at nothing."""
        loop = super().build_test_loop(loop)
        _check_steps("test_dataloader", loop.dataloader, self.world_size)
        return loop

    def train(self) -> torch.nn.Module:
        """Train, alone in the work dir.

        Raises:
            ValueError: Another training is at work there, a loader makes no step, the checkpoint to start
                from does not fit, or a loss is not finite.
            TrainingStopped: SIGINT or SIGTERM came; ``--resume`` goes on from ``interrupted.pth``.
        """
        with contextlib.ExitStack() as stack:
            _on_first_rank(lambda: stack.enter_context(sole_training(self.work_dir)))
            super().dump_config()
            stack.enter_context(self.stop_request)
            stack.enter_context(self._shown())
            try:
                return super().train()
            except StopHere as stop:
                raise self._stopped(stop) from None

    def test(self) -> dict:
        """Test, and return the figures."""
        with self._shown():
            return super().test()

    def _shown(self) -> contextlib.AbstractContextManager:
        hooks = [hook for hook in self.hooks if isinstance(hook, ConsoleHook)]
        return hooks[0].progress if hooks else contextlib.nullcontext()

    def dump_config(self) -> None:
        """Leave the config of the work dir to trainings: a test of a checkpoint there is none."""

    def _stopped(self, stop: StopHere) -> TrainingStopped:
        """Store an interrupted training."""
        if stop.validating:
            for hook in self.hooks:
                if isinstance(hook, EMAHook):  # the average lies in the model's place while it is validated
                    hook._swap_ema_parameters()
        done = self.iter + stop.uncounted
        meta = {"epoch": self.epoch, "iter": done, "epoch_batches": stop.batches}
        self.save_checkpoint(self.work_dir, INTERRUPTED, meta=meta)
        path = Path(self.work_dir, INTERRUPTED)
        if is_main_process():
            note_last(self.work_dir, path)
        if stop.uncounted:  # all ranks are here, and the first to leave ends the others
            barrier()
        where = f"after {counted(self.epoch, 'epoch')}"
        if stop.batches:
            where += f" and {counted(stop.batches, 'step')}"
        if not isinstance(self.train_loop, EpochBasedTrainLoop):
            where = f"after {counted(done, 'iteration')}"
        name = signal.Signals(stop.signal).name
        return TrainingStopped(f"{name} ended the training {where}, which are in {path}", stop.signal)

    def load_or_resume(self) -> None:
        """Load or resume once; of a work dir, the newest checkpoint that can be read."""
        if self._resume and self._load_from is None and not self._has_loaded:
            path, unreadable = newest_checkpoint(self.work_dir)
            for line in unreadable:
                self.logger.warning(f"passed over: {line}")
            if path is None:
                self.logger.info(f"no checkpoint in {self.work_dir} yet: the training begins anew")
                self._has_loaded = True
            else:
                self._load_from = str(path)
        super().load_or_resume()

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> dict:
        """Read a checkpoint and load its weights, all of which the model must have, and no others.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is damaged, or does not fit, or was trained with something else; the text lists
                the differences.
        """
        checkpoint = read_checkpoint(filename)
        for note in check_agreement(self.cfg, checkpoint, filename):
            self.logger.info(note)
        checkpoint.setdefault("state_dict", dict(checkpoint))
        checkpoint.setdefault("meta", {}).pop("config", None)  # MMEngine would run it
        if "message_hub" in checkpoint:
            checkpoint["message_hub"] = from_plain(checkpoint["message_hub"])
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        load_weights(_bare(self.model), checkpoint["state_dict"], f"{filename} does not fit this config")
        self._has_loaded = True
        self.logger.info(f"loaded {filename}")
        return checkpoint

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Go on from a checkpoint of a training, on the schedule of this config.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is damaged, does not fit, is not of a training, or is of one with other labels,
                another set or another teacher.
        """
        saved = read_checkpoint(filename)
        if missing := [key for key in ("meta", "optimizer", "message_hub") if key not in saved]:
            raise ValueError(
                f"{filename} holds no {missing[0]}: it is not a checkpoint that a training can resume from"
            )
        made, most = saved["meta"].get("epoch", 0), (self.cfg.train_cfg or {}).get("max_epochs")
        if most is not None and made > most:
            raise ValueError(
                f"{filename} has {counted(made, 'epoch')}; train_cfg.max_epochs is {most}, "
                f"give {made} or more"
            )
        check_same_training(saved, filename, self.cfg, self._statement)
        if (start := start_of(saved)) is not None:
            self._statement["began_with"] = start
        for change in changed_settings(saved, self.cfg):
            self.logger.warning(f"goes on from {filename} with another {change}")
        before = [dict(group) for group in self.optim_wrapper.param_groups]
        super().resume(filename, resume_param_scheduler=False)
        if isinstance(self.train_loop, TrainLoop):
            self.train_loop.batches_made = saved["meta"].get("epoch_batches", 0)
        resume_schedules(self, saved.get("param_schedulers"), before)

    @master_only
    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict | None = None,
        by_epoch: bool = True,
        backend_args: dict | None = None,
    ) -> None:
        """Write a checkpoint of nothing but tensors and plain values, as ``write_checkpoint`` does.

        Args: As MMEngine's; the file is a local one.

        Raises:
            OSError: It cannot be written.
            ValueError: A weight is not finite.
        """
        place = (self.epoch + 1, self.iter) if by_epoch else (self.epoch, self.iter + 1)
        model = _bare(self.model)
        checkpoint = {
            "meta": {
                "epoch": place[0],
                "iter": place[1],
                **(meta or {}),
                "cfg": self.cfg.pretty_text,
                "seed": self.seed,
                "experiment_name": self.experiment_name,
                "mmengine_version": mmengine.__version__,
                "statement": self._statement,
                "dataset_meta": getattr(self.train_dataloader.dataset, "metainfo", None),
            },
            "state_dict": model.state_dict(),
            "message_hub": self.message_hub.state_dict(),
        }
        if save_optimizer:
            checkpoint["optimizer"] = self.optim_wrapper.state_dict()
        if save_param_scheduler and self.param_schedulers is not None:
            checkpoint["param_schedulers"] = [one.state_dict() for one in self.param_schedulers]
        self.call_hook("before_save_checkpoint", checkpoint=checkpoint)
        _check_finite(checkpoint["state_dict"], filename)
        write_checkpoint(Path(out_dir, filename), to_plain(checkpoint))


def _on_first_rank(action: Callable[[], Any]) -> None:
    """Do it on the first rank; all ranks raise the ValueError that it ends with."""
    refusal: list[str | None] = [None]
    if is_main_process():
        try:
            action()
        except ValueError as error:
            refusal[0] = str(error)
    broadcast_object_list(refusal)
    if refusal[0] is not None:
        raise ValueError(refusal[0])


def _end_log(logger: MMLogger, handler: logging.Handler, record: logging.LogRecord) -> None:
    """Take the exception that a handler raises: a terminal that is gone is done without."""
    error = sys.exc_info()[1]
    if isinstance(handler, logging.FileHandler) and isinstance(error, OSError):
        raise OSError(error.errno, error.strerror, handler.baseFilename) from None
    logger.handlers = [other for other in logger.handlers if other is not handler]


def _bare(model: torch.nn.Module) -> torch.nn.Module:
    return model.get_submodule("module") if is_model_wrapper(model) else model


def _check_finite(state: dict[str, torch.Tensor], filename: str) -> None:
    for name, value in state.items():
        if value.is_floating_point() and not math.isfinite(float(value.sum(dtype=torch.float64))):
            raise ValueError(
                f"{name} is no longer finite, so {filename} was not written and older checkpoints are "
                "unchanged. A lower optim_wrapper.optimizer.lr helps, or optim_wrapper.clip_grad"
            )


def _check_steps(name: str, loader: DataLoader, ranks: int) -> None:
    """Refuse a loader of no batches."""
    if len(loader):
        return
    shapes, batch_size = len(loader.sampler), loader.batch_size or 1  # type: ignore[arg-type]  # ours have a length
    if not shapes:
        raise ValueError(f"{name} has no shapes")
    raise ValueError(
        f"{name} has {counted(shapes * ranks, 'shape')}, fewer than its batch of {batch_size * ranks}, and "
        "drops what does not fill one (drop_last): not one step would be made. Give --cfg-options "
        f"{name}.batch_size={shapes * ranks}"
    )
