"""A hook: ``custom_hooks=[dict(type="StepCounter")]``."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from pointmcd.registry import HOOKS


@HOOKS.register_module()
class StepCounter(Hook):
    """Note the number of steps in the checkpoint."""

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        runner.message_hub.update_info("my_steps", runner.iter + 1)
