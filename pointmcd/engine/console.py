"""A training or a test on the console: a bar, a line an epoch, and remarks; the whole log is in its file."""

import logging
import time
from collections import deque
from pathlib import Path
from typing import Any

import mmengine
from mmengine.hooks import Hook, IterTimerHook
from mmengine.runner import EpochBasedTrainLoop, LogProcessor, Runner
from rich.console import Console

from pointmcd.evaluation.statistics import counted, in_words, with_unit
from pointmcd.progress import Progress, clock
from pointmcd.registry import HOOKS, LOG_PROCESSORS

VALIDATION_SHARE = 0.4
"""What a batch of validation takes of a step's time, until one was timed: the forward pass alone."""
MMENGINE = Path(mmengine.__file__).parent


@HOOKS.register_module()
class ConsoleHook(Hook):
    """Show a bar with the time left, and print a line an epoch: losses, figures, the teacher's beside them.

    Every Runner has it, unless the config says ``default_hooks.console=None``; then MMEngine's log is on the
    console, too. The Runner shows ``progress`` while it trains and tests.

    Args:
        title: Stands before the bar, such as the name of one run of many.
        lines: Print the lines; without, there is the bar alone, and warnings.
    """

    priority = "LOW"  # behind what makes the figures

    def __init__(self, title: str = "", lines: bool = True) -> None:
        self._title = f"{title}, " if title else ""
        self.progress = Progress(Console() if lines else None, self._seconds_left)
        self._lines = lines
        self._line: str | None = None
        self._runner: Runner | None = None
        self._steps: deque[float] = deque(maxlen=200)
        self._validation: float | None = None
        self._mark = self._began = 0.0

    def before_train(self, runner: Runner) -> None:
        """Begin the bar."""
        self._runner = runner
        self._steps.clear()
        shapes = counted(len(runner.train_dataloader.dataset), "shape")
        length = counted(runner.max_iters, "step")
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            steps = counted(len(runner.train_dataloader), "step")
            length = f"{counted(runner.max_epochs, 'epoch')} of {steps}"
        if self._lines:
            finished = ", finished already" if runner.iter >= runner.max_iters else ""
            self._print(runner, f"{Path(runner.work_dir).name}: {length} on {shapes}{finished}")
        self.progress.begin(self._title + self._place(runner), runner.max_iters, runner.iter)

    def before_train_epoch(self, runner: Runner) -> None:
        """Begin to time steps, and the epoch."""
        self._mark = self._began = time.monotonic()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Advance the bar."""
        now = time.monotonic()
        self._steps.append(now - self._mark)
        self._mark = now
        loss = runner.message_hub.log_scalars.get("train/loss")
        note = None if loss is None else f"loss {loss.current():.4f}"
        self.progress.advance(1, self._title + self._place(runner), note)

    def after_train_epoch(self, runner: Runner) -> None:
        """Print the epoch's line, or keep it until the validation has given its figures."""
        took = f"{clock(time.monotonic() - self._began)}"
        self._line = f"{self._place(runner)}  {self._losses(runner, len(runner.train_dataloader))}  {took}"
        if not self._validates(runner, runner.epoch + 1):
            self._end_line(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        """Say that it is validated."""
        self._mark = time.monotonic()
        self.progress.advance(0, note="validating")

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Say how far the validation is."""
        self.progress.advance(0, note=f"validating, batch {batch_idx + 1} of {len(runner.val_dataloader)}")

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Print the line with the figures."""
        self._validation = time.monotonic() - self._mark
        self._mark = time.monotonic()
        if self._line is None and self._runner is not None:  # a training that is counted in iterations
            self._line = f"{self._place(runner)}  {self._losses(runner, runner.val_interval)}"
        self._end_line(runner, in_figures(metrics or {}))

    def before_test_epoch(self, runner: Runner) -> None:
        """Begin the bar."""
        self._runner = None
        self.progress.begin(f"{self._title}testing", len(runner.test_dataloader))

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Advance the bar."""
        self.progress.advance()

    def _print(self, runner: Runner, text: str) -> None:
        if runner.rank == 0:
            self.progress.print(text)

    def _end_line(self, runner: Runner, figures: str = "") -> None:
        if self._lines and self._line is not None:
            self._print(runner, "  ".join(filter(None, (self._line, figures))))
        self._line = None

    def _losses(self, runner: Runner, steps: int) -> str:
        """Return ``loss 2.1 (task 1.9, view 0.2)``, means over the last steps."""
        scalars = runner.message_hub.log_scalars
        means = {
            name.removeprefix("train/"): values.mean(min(steps, len(values.data[0])))
            for name, values in scalars.items()
            if name.startswith("train/loss")
        }
        whole = means.pop("loss", None)
        parts = ", ".join(
            f"{in_words(name.removeprefix('loss_'))} {mean:.4f}" for name, mean in means.items()
        )
        if whole is None:
            return parts
        return f"loss {whole:.4f}" + (f" ({parts})" if len(means) > 1 else "")

    def _place(self, runner: Runner) -> str:
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            last = str(runner.max_epochs)
            return f"epoch {min(runner.epoch + 1, runner.max_epochs):{len(last)}}/{last}"
        return f"step {runner.iter}/{runner.max_iters}"

    def _validates(self, runner: Runner, epoch: int) -> bool:
        """Return whether a validation follows an epoch, counted from 1, as MMEngine decides it."""
        if runner.val_loop is None or not isinstance(runner.train_loop, EpochBasedTrainLoop):
            return False
        due = epoch % runner.val_interval == 0 or epoch == runner.max_epochs
        return epoch >= runner.val_begin and due

    def _seconds_left(self) -> float | None:
        """Return the seconds left, by the time that the last steps and the last validation took."""
        runner = self._runner
        if runner is None:  # a test
            return self.progress.at_this_pace()
        if not self._steps:
            return None
        step = sum(self._steps) / len(self._steps)
        left = step * max(runner.max_iters - runner.iter, 0)
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            count = sum(self._validates(runner, n) for n in range(runner.epoch + 1, runner.max_epochs + 1))
            if count:
                guess = VALIDATION_SHARE * step * len(runner.val_dataloader)
                left += count * (guess if self._validation is None else self._validation)
        return left


def made_steps(runner: Runner) -> bool:
    """Return whether a training made steps, rather than found itself finished when it was resumed."""
    return any(runner.iter > hook.start_iter for hook in runner.hooks if isinstance(hook, IterTimerHook))


def in_figures(metrics: dict[str, float]) -> str:
    """Return ``overall accuracy 71.20 % (teacher 92.10 %)``, for each metric."""
    return ", ".join(
        f"{in_words(name)} {with_unit(name, value)}"
        + (
            f" (teacher {with_unit(name, metrics[beside])})"
            if (beside := f"teacher_{name}") in metrics
            else ""
        )
        for name, value in metrics.items()
        if not name.startswith("teacher_")
    )


@LOG_PROCESSORS.register_module()
class EpochLogProcessor(LogProcessor):
    """MMEngine's, but for losses and times, which are means over the epoch so far.

    The last line of an epoch so holds what the console says of it, and what a report draws.

    Args: As MMEngine's.
    """

    def get_log_after_iter(self, runner: Runner, batch_idx: int, mode: str) -> tuple[dict, str]:
        """Return the figures of the log, and its line."""
        if mode == "train" and isinstance(runner.train_loop, EpochBasedTrainLoop):
            self.window_size = batch_idx + 1
        return super().get_log_after_iter(runner, batch_idx, mode)


class Remarks(logging.Handler):
    """Of a Runner's log, what its reader has to know: warnings, and what was said by others than MMEngine.

    MMEngine's own news are the environment, the config, the hooks and the figures.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record; above the bar, where there is one."""
        message = record.getMessage()
        if record.levelno < logging.WARNING and Path(record.pathname).is_relative_to(MMENGINE):
            return
        if "deprecated" not in message:
            try:
                print(("warning: " if record.levelno >= logging.WARNING else "") + message, flush=True)
            except OSError:
                self.handleError(record)


def give_remarks_alone(logger: logging.Logger, lines: bool = True) -> None:
    """Let a log's console show ``Remarks``, or of them the warnings alone; its file holds all as before."""
    logger.handlers = [
        Remarks(handler.level if lines else max(handler.level, logging.WARNING))
        if type(handler) is logging.StreamHandler
        else handler
        for handler in logger.handlers
    ]
