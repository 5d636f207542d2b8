"""A rank of ``test_two_processes_train_as_one``: train_worker.py DATA WORK_DIR eval|sync, under torchrun."""

import json
import sys
from pathlib import Path

import torch
from mmengine.dist import all_gather
from mmengine.hooks import Hook
from test_training import tiny

from pointmcd.engine import build_runner
from pointmcd.models.layers import BatchNorm
from pointmcd.registry import HOOKS


@HOOKS.register_module()
class DoubleHook(Hook):
    """Train in float64, so that the order of sums does not show, and note each step's loss over all ranks."""

    def __init__(self, eval_batch_norm: bool) -> None:
        self.eval_batch_norm = eval_batch_norm
        self.losses: list[float] = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        data_batch["points"] = data_batch["points"].double()
        for module in runner.model.modules():
            if isinstance(module, BatchNorm) and self.eval_batch_norm:
                module.eval()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(sum(all_gather(outputs["loss"])).item() / runner.world_size)

    def after_train(self, runner):
        if runner.rank == 0:
            Path(runner.work_dir, "losses.json").write_text(json.dumps(self.losses))

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        data_batch["points"] = data_batch["points"].double()


def main() -> None:
    data, work_dir, batch_norm = sys.argv[1:]
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    config = tiny(data, work_dir, train_cfg__max_epochs=1)
    config.default_hooks.checkpoint.interval = 1
    config.model.data_preprocessor.transforms = []  # each rank draws its own
    config.custom_hooks.append({"type": "DoubleHook", "eval_batch_norm": batch_norm == "eval"})
    if batch_norm == "sync":
        config.custom_hooks.append({"type": "SyncBatchNormHook"})
    build_runner(config).train()


if __name__ == "__main__":
    main()
