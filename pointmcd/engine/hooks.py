"""Hooks that a config adds to the Runner's own."""

import random
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from pointmcd.compat import from_plain, to_plain
from pointmcd.engine.pretrained import load_backbone
from pointmcd.models import PointMCD
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
class PretrainedBackboneHook(Hook):
    """Start a training from the backbone of a checkpoint; head and all else start anew.

    Where the training is resumed, its own checkpoint comes after. A test needs none of it.

    Args:
        checkpoint: Of any model with the same backbone; ``load_backbone`` refuses any other.
    """

    priority = "VERY_HIGH"  # before EMAHook takes a copy

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = checkpoint
        self.loaded = False

    def before_run(self, runner: Runner) -> None:
        """Load once, when a training begins."""
        if not self.loaded and isinstance(runner.optim_wrapper, OptimWrapper):
            load_backbone(_bare(runner).backbone, self.checkpoint)
            runner.logger.info(f"the backbone starts from {self.checkpoint}")
            self.loaded = True


@HOOKS.register_module(name=["TeacherMetricsHook", "TeacherBesideHook"])  # configs of before say the latter
class TeacherMetricsHook(Hook):
    """Put the teacher's accuracy on the same split beside the student's, in logs and reports.

    A student without a task has no accuracy to be beside; for it the log says what its view loss is to be
    compared with.
    """

    priority = "HIGHEST"  # before the metrics are logged

    def before_train(self, runner: Runner) -> None:
        """Log the view loss of a constant, where the view loss is all that is trained."""
        model = _bare(runner)
        rows = getattr(runner.train_dataloader.dataset, "teacher", None)
        if not isinstance(model, PointMCD) or model.head is not None or rows is None:
            return
        constant = constant_view_loss(rows.arrays["view_descriptors"])
        runner.logger.info(
            "No labels: the student learns from the teacher's views alone. The best constant has a mean L1 "
            f"distance of {constant:.4f} from them; loss_view (where it is that distance) below it is what "
            "the student has learnt."
        )

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


def constant_view_loss(descriptors: np.ndarray, most: int = 512) -> float:
    """The mean L1 distance of a teacher's descriptors from the best constant, each channel's median.

    Args:
        descriptors: (S, V, D) of a split.
        most: How many shapes, evenly spaced, are looked at.
    """
    rows = np.unique(np.linspace(0, len(descriptors) - 1, most).astype(np.int64))
    sample = np.stack([descriptors[row] for row in rows]).astype(np.float32)
    return float(np.abs(sample - np.median(sample, (0, 1))).mean())
