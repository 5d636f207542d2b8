"""Learning rates over the length of a training: filled in from it, and followed when it changes."""

from typing import Any

from mmengine.config import Config
from mmengine.runner import EpochBasedTrainLoop, Runner

LENGTHS = ("T_max", "total_steps", "total_iters")
PROGRESS = {"last_step", "_global_step", "_last_value", "verbose"}


def fill_lengths(config: Config) -> None:
    """Give schedulers whose length is None that of the training, from where they begin.

    Raises:
        ValueError: A scheduler counts iterations in a training that is counted in epochs, or the other way
            round, or one cycle is of another length than the training.
    """
    schedulers = config.get("param_scheduler") or []
    lasts = config.get("train_cfg") or {}
    unit = "epochs" if lasts.get("max_epochs") else "iterations"
    length = lasts.get("max_epochs") or lasts.get("max_iters")
    for number, scheduler in enumerate([schedulers] if isinstance(schedulers, dict) else schedulers):
        where = f"param_scheduler.{number}: {scheduler['type']}"
        for name in LENGTHS:
            if name not in scheduler or length is None:
                continue
            if scheduler[name] is None:
                if scheduler.get("by_epoch", True) != (unit == "epochs"):
                    wanted = "convert_to_iter_based=True" if unit == "epochs" else "by_epoch=False"
                    raise ValueError(f"{where} must last {length} {unit}; give it {wanted}")
                scheduler[name] = (scheduler.get("end") or length) - scheduler.get("begin", 0)
            elif name == "total_steps" and "begin" not in scheduler and scheduler[name] != length:
                counts_alike = scheduler.get("by_epoch", True) == (unit == "epochs")
                if counts_alike:
                    raise ValueError(
                        f"{where} lasts {scheduler[name]} {unit}, the training {length}; leave total_steps "
                        "None to follow it"
                    )


def resume_schedules(runner: Runner, saved: list[dict] | None, start: list[dict[str, Any]]) -> None:
    """Put a Runner's schedulers where those of a checkpoint were.

    Where this training is as long as that of the checkpoint, they go on exactly as they were. Where it is
    not, the rates are those that a training of the new length has at this step.

    Args:
        runner: Whose schedulers are at their beginning, and whose optimizer is that of the checkpoint.
        saved: The schedulers' states, or None.
        start: The optimizer's groups as they were when the schedulers began.
    """
    schedulers = runner.param_schedulers
    if saved is None or schedulers is None:
        return
    alike = len(saved) == len(schedulers) and all(
        _settings(one.state_dict()) == _settings(state) for one, state in zip(schedulers, saved, strict=True)
    )
    if alike:
        for scheduler, state in zip(schedulers, saved, strict=True):
            scheduler.load_state_dict(state)
        return
    for group, first in zip(runner.optim_wrapper.param_groups, start, strict=True):
        group.update({name: value for name, value in first.items() if name != "params"})
    runner.logger.info("the learning rate follows this config, whose schedule is not the checkpoint's")
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    length = len(runner.train_dataloader)
    for scheduler in schedulers:
        scheduler.optimizer._global_step = runner.iter  # as its steps count, for a warning of MMEngine
    for iteration in range(1, runner.iter + 1):
        epoch_ends = by_epoch and iteration % length == 0 and iteration // length <= runner.epoch
        for of_epochs in (False, True) if epoch_ends else (False,):  # in this order, as they are trained
            for scheduler in schedulers:
                if scheduler.by_epoch == of_epochs:
                    scheduler.step()


def _settings(state: dict[str, Any]) -> dict[str, Any]:
    """Return what a scheduler was built with; functions are not stored."""
    return {key: value for key, value in state.items() if key not in PROGRESS and not callable(value)}
