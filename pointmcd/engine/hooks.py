"""Hooks that a config adds to the Runner's own."""

import random
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from pointmcd.engine.compat import from_plain, to_plain
from pointmcd.models.layers import BatchNorm
from pointmcd.registry import HOOKS


def _bare(runner: Runner) -> torch.nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


@HOOKS.register_module()
class SeedHook(Hook):
    """Seed all generators anew each epoch and iteration, from (seed, rank, iteration).

    A checkpoint stores no generator's state, so that augmentation, dropout and drawn views would differ
    after a resume; seeded like this they are the same, bit for bit on the CPU.
    """

    priority = "VERY_HIGH"

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed what the loader draws while it starts."""
        self._seed(runner, 0)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed one step."""
        self._seed(runner, 1)

    def _seed(self, runner: Runner, stream: int) -> None:
        entropy = (int(runner.seed), int(runner.rank), int(runner.iter), stream)
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 (libraries draw from the global generator)
        torch.manual_seed(seed)


@HOOKS.register_module()
class PlainCheckpointHook(Hook):
    """Store tensors and plain values only, so that every checkpoint loads with ``weights_only=True``."""

    priority = "VERY_LOW"

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Make numpy values and history buffers plain."""
        for key in checkpoint:
            if key != "state_dict":
                checkpoint[key] = to_plain(checkpoint[key])

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Turn the history buffers back."""
        if "message_hub" in checkpoint:
            checkpoint["message_hub"] = from_plain(checkpoint["message_hub"])


@HOOKS.register_module()
class CompileHook(Hook):
    """Run the model through ``torch.compile``; MMEngine's ``compile=True`` compiles the optimizer step and
    fails.

    Args:
        kwargs: What ``torch.compile`` takes (``mode``, ``dynamic``, ``backend``).
    """

    def __init__(self, **kwargs: Any) -> None:
        self.kwargs = kwargs

    def before_train(self, runner: Runner) -> None:
        """Compile the forward pass in place."""
        _bare(runner).compile(**self.kwargs)


@HOOKS.register_module()
class SyncBatchNormHook(Hook):
    """Take batch-norm statistics over the batch of all ranks; works on the CPU, where torch's own refuses."""

    def before_train(self, runner: Runner) -> None:
        """Switch the layers over."""
        for module in _bare(runner).modules():
            if isinstance(module, BatchNorm):
                module.sync = True


@HOOKS.register_module()
class TeacherBesideHook(Hook):
    """Put the teacher's accuracy on the same split beside the student's, in logs and reports."""

    priority = "HIGHEST"  # before the metrics are logged

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Add ``teacher_*`` to the metrics."""
        self._add(runner, metrics, runner.val_dataloader)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Add ``teacher_*`` to the metrics."""
        self._add(runner, metrics, runner.test_dataloader)

    def _add(self, runner: Runner, metrics: dict[str, float] | None, loader: Any) -> None:
        accuracy = getattr(getattr(_bare(runner), "teacher", None), "accuracy", None)
        if not accuracy or metrics is None:
            return
        for name, value in accuracy.get(loader.dataset.split_name, {}).items():
            metrics[f"teacher_{name}"] = value
