"""What happens beside the steps of a training: seeds, checkpoints, figures to compare with."""

import random
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch.nn.modules.batchnorm import _BatchNorm

from pointmcd.checkpoint import read_checkpoint, read_state_dict
from pointmcd.engine.agreement import check_backbone
from pointmcd.engine.labels_seen import check_online_teacher
from pointmcd.engine.pretrained import load_backbone
from pointmcd.engine.work_dir import INTERRUPTED, note_last
from pointmcd.models import PointMCD
from pointmcd.models.backbones import PointTransformer
from pointmcd.models.heads import ViewDistillationHead
from pointmcd.models.layers.norm import synchronize
from pointmcd.models.teachers.trunks import build_trunk
from pointmcd.registry import HOOKS


def _bare(runner: Runner) -> torch.nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


@HOOKS.register_module()
class SeedHook(Hook):
    """Seed all generators anew each epoch, batch and step, from (seed, rank, iteration); every Runner has it.

    A checkpoint stores no generator's state, so that augmentation, dropout and drawn views would differ
    after a resume; seeded like this they are the same, bit for bit on the CPU.
    """

    priority = "VERY_HIGH"

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed what the loader draws while it starts."""
        self._seed(runner, runner.iter - getattr(runner.train_loop, "batches_made", 0), 0)

    def before_train_fetch(self, runner: Runner, iteration: int) -> None:
        """Seed what the loader draws for a batch that is not the first."""
        self._seed(runner, iteration, 2)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed one step."""
        self._seed(runner, runner.iter, 1)

    def _seed(self, runner: Runner, iteration: int, stream: int) -> None:
        entropy = (int(runner.seed), int(runner.rank), int(iteration), stream)
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 (libraries draw from the global generator)
        torch.manual_seed(seed)


@HOOKS.register_module()
class PlainCheckpointHook(Hook):
    """Nothing any more, kept for configs that list it: every checkpoint holds plain values alone."""


@HOOKS.register_module()
class CheckpointHook(MMEngineCheckpointHook):
    """Store checkpoints as MMEngine's hook does, but delete an old one only once the new one is there.

    Args: As MMEngine's; files are local.
    """

    def before_train(self, runner: Runner) -> None:
        """Tidy away what a training left that was killed between storing and deleting."""
        super().before_train(runner)
        if self.max_keep_ckpts <= 0:
            self.keep_ckpt_ids: deque[int] = deque()

    def after_train(self, runner: Runner) -> None:
        """Store the last epoch also of a training that ends before its time, as by ``EarlyStoppingHook``."""
        if runner.train_loop.stop_training and self.by_epoch and self.interval > 0:
            meta = {"epoch": runner.epoch, "iter": runner.iter, "finished": True}
            self._save_checkpoint_with_step(runner, runner.epoch, meta)
        super().after_train(runner)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        kept = [number for number in self.keep_ckpt_ids if number != step] + [step]
        many = max(len(kept) - self.max_keep_ckpts, 0) if self.max_keep_ckpts > 0 else 0
        path = Path(self.out_dir, self.filename_tmpl.format(step))
        before = {name: runner.message_hub.runtime_info.get(name) for name in ("keep_ckpt_ids", "last_ckpt")}
        if self.max_keep_ckpts > 0:
            # with those that are about to go, so that a training that is killed before they do finds them
            runner.message_hub.update_info("keep_ckpt_ids", kept)
        runner.message_hub.update_info("last_ckpt", str(path))
        try:
            runner.save_checkpoint(
                self.out_dir,
                path.name,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=self.by_epoch,
                **self.args,
            )
        except BaseException:
            for name, value in before.items():
                runner.message_hub.update_info(name, value)
            raise
        self.last_ckpt = str(path)
        if self.max_keep_ckpts > 0:
            self.keep_ckpt_ids = deque(kept[many:], self.max_keep_ckpts)
            runner.message_hub.update_info("keep_ckpt_ids", kept[many:])
        if is_main_process():
            note_last(runner.work_dir, path)
            Path(runner.work_dir, INTERRUPTED).unlink(missing_ok=True)
            for number in kept[:many]:
                Path(self.out_dir, self.filename_tmpl.format(number)).unlink(missing_ok=True)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """Hide the older best ones from MMEngine, which would delete them first."""
        if not self.save_best:
            return
        older = self._best()
        for place in (self.__dict__, self.__dict__.get("best_ckpt_path_dict", {})):
            place.update(dict.fromkeys(place.keys() & older.keys()))
        super()._save_best_checkpoint(runner, metrics)
        for name, path in older.items():
            place = self.__dict__ if name == "best_ckpt_path" else self.best_ckpt_path_dict
            if place[name] is None:
                place[name] = path
            elif path is not None and path != place[name] and is_main_process():
                Path(path).unlink(missing_ok=True)

    def _best(self) -> dict[str, str | None]:
        if len(self.key_indicators) == 1:
            return {"best_ckpt_path": self.best_ckpt_path}
        return dict(self.best_ckpt_path_dict)


@HOOKS.register_module()
class CompileHook(Hook):
    """Run the model through ``torch.compile``; MMEngine's ``compile=True`` fails on the optimizer step.

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
    """Take batch-norm statistics over the batch of all ranks; works on the CPU, where torch's own refuses.

    Every Runner of several ranks has it, so that they train what one process would;
    ``default_hooks.sync_batch_norm=None`` leaves it out.
    """

    def before_train(self, runner: Runner) -> None:
        """Switch the layers over."""
        if runner.world_size == 1:
            return
        layers = {
            name: synchronize(module)
            for name, module in _bare(runner).named_modules()
            if isinstance(module, _BatchNorm) and not name.startswith("teacher.")
        }
        runner.logger.info(
            f"batch statistics of {sum(layers.values())} layers are those of all {runner.world_size} "
            "processes (default_hooks.sync_batch_norm=None gives each its own)"
        )
        others = [name for name, is_synchronized in layers.items() if not is_synchronized]
        if others:
            runner.logger.warning(f"{len(others)} layers keep each process's own, such as {others[0]}")


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
            check_backbone(runner.cfg.model.backbone, read_checkpoint(self.checkpoint), self.checkpoint)
            load_backbone(_bare(runner).get_submodule("backbone"), self.checkpoint)
            runner.logger.info(f"the backbone starts from {self.checkpoint}")
            self.loaded = True


@HOOKS.register_module()
class ImageBlocksHook(Hook):
    """Start the blocks of a ``PointTransformer`` from those of an image ViT of the same width.

    Args:
        network: A timm name, such as ``vit_tiny_patch16_224``, whose weights timm downloads.
        checkpoint: Or a file of weights as timm names them.

    Raises:
        ValueError: Both are given, or neither.
    """

    priority = "VERY_HIGH"  # before EMAHook takes a copy

    def __init__(self, network: str | None = None, checkpoint: str | None = None) -> None:
        if (network is None) == (checkpoint is None):
            raise ValueError("ImageBlocksHook takes either network (a timm name) or checkpoint, not both")
        self.network, self.checkpoint = network, checkpoint
        self.loaded = False

    def before_run(self, runner: Runner) -> None:
        """Load once, when a training begins."""
        if self.loaded or not isinstance(runner.optim_wrapper, OptimWrapper):
            return
        backbone = _bare(runner).get_submodule("backbone")
        if not isinstance(backbone, PointTransformer):
            raise ValueError(f"a {type(backbone).__name__} has no blocks to start from an image network")
        if self.checkpoint is not None:
            backbone.load_image_blocks(read_state_dict(self.checkpoint), self.checkpoint)
        else:
            assert self.network is not None
            weights = build_trunk(self.network, pretrained=True).state_dict()
            backbone.load_image_blocks(weights, self.network)
        runner.logger.info(f"the blocks start from {self.checkpoint or self.network}")
        self.loaded = True


@HOOKS.register_module(name=["TeacherMetricsHook", "TeacherBesideHook"])  # configs of before say the latter
class TeacherMetricsHook(Hook):
    """Put the teacher's accuracy on the same split beside the student's; every Runner has it.

    A teacher that is asked while the student trains must have seen the labels that the student knows, and no
    others; caches are checked where they are opened.

    For a student without a task, which has no accuracy, the log says what to compare its view loss with.
    """

    priority = "HIGHEST"  # before the metrics are logged

    def before_train(self, runner: Runner) -> None:
        """Check the teacher's labels; log the view loss of a constant, where that loss is all there is."""
        check_online_teacher(runner.cfg.get("model") or {}, runner.train_dataloader.dataset)
        model = _bare(runner)
        rows = getattr(runner.train_dataloader.dataset, "teacher", None)
        if not isinstance(model, PointMCD) or model.head is not None:
            return
        if rows is None or "view_descriptors" not in rows.arrays:
            return
        for head in model.distill:
            if isinstance(head, ViewDistillationHead) and head.distance in CONSTANTS:
                constant = head.loss_weight * constant_view_loss(
                    rows.arrays["view_descriptors"], head.distance
                )
                runner.logger.info(
                    "No labels: the student learns from the teacher's views alone. The best constant has a "
                    f"loss_view of {constant:.4f}; below it is what the student has learnt."
                )

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Add ``teacher_*`` beside the metrics of that name."""
        self._add(runner, metrics, runner.val_dataloader)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Add ``teacher_*`` beside the metrics of that name."""
        self._add(runner, metrics, runner.test_dataloader)

    def _add(self, runner: Runner, metrics: dict[str, float] | None, loader: Any) -> None:
        accuracy = getattr(getattr(_bare(runner), "teacher", None), "accuracy", None)
        if not accuracy or metrics is None:
            return
        for name, value in accuracy.get(loader.dataset.split_name, {}).items():
            if name in metrics:  # categories of shapes stand beside no figures of their parts
                metrics[f"teacher_{name}"] = value


def _constant_l1(rows: np.ndarray) -> float:
    return float(np.abs(rows - np.median(rows, 0)).mean())


def _constant_cosine(rows: np.ndarray) -> float:
    units = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return float(1 - np.linalg.norm(units.mean(0)))


CONSTANTS = {"l1": _constant_l1, "cosine": _constant_cosine}


def constant_view_loss(descriptors: np.ndarray, distance: str = "l1", most: int = 512) -> float:
    """Return the mean distance of a teacher's descriptors from the best constant.

    That is each channel's median for ``l1``, and the mean direction for ``cosine``.

    Args:
        descriptors: (S, V, D) of a split.
        distance: One of ``CONSTANTS``.
        most: How many shapes, evenly spaced, are looked at.
    """
    rows = np.unique(np.linspace(0, len(descriptors) - 1, most).astype(np.int64))
    sample = np.stack([descriptors[row] for row in rows]).astype(np.float32)
    return CONSTANTS[distance](sample.reshape(-1, sample.shape[-1]))
