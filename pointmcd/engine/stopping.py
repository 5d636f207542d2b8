"""When a training has to end before its time: signals, and losses that are not numbers."""

import math
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

import torch
import torch.distributed as dist
from mmengine.hooks import Hook
from mmengine.runner import Runner

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TrainingStopped(KeyboardInterrupt):
    """A signal ended a training, all of which is in a checkpoint; the text says where.

    Attributes:
        signal: Its number.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.signal = number


class StopHere(Exception):
    """Raised where a training that was asked to end can be stored.

    Attributes:
        signal: What asked for it.
        batches: How many of the current epoch's batches were made; 0 between epochs.
        uncounted: Steps that were made and are not counted yet, 1 or 0.
        validating: It is raised within a validation.
    """

    def __init__(self, number: int, batches: int = 0, uncounted: int = 0, validating: bool = False) -> None:
        super().__init__("a signal asks the training to end")
        self.signal, self.batches, self.uncounted, self.validating = number, batches, uncounted, validating


class StopRequest:
    """Within ``with``, SIGINT and SIGTERM are noted instead of being raised in the middle of a step.

    A second Ctrl-C in a process of its own ends it at once. Processes that are forked meanwhile (a loader's
    workers) leave SIGINT to their parent and end by SIGTERM as they always did.

    Attributes:
        signal: The first one's number, or None.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._owner = os.getpid()
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
        elif self.signal is None:
            self.signal = number
        elif number == signal.SIGINT and "TORCHELASTIC_RUN_ID" not in os.environ:  # it sends its own
            raise KeyboardInterrupt


class WatchHook(Hook):
    """End a training at the next step after a signal, or as soon as its loss is not finite.

    Ranks agree on the step: each tells the others what it saw, and hears one step later what they saw, so
    that no step waits for it.

    Args:
        request: Whether a signal came.
    """

    priority = "LOWEST"  # after all that a step consists of

    def __init__(self, request: StopRequest) -> None:
        self.request = request
        self._group: Any = None
        self._told: tuple[torch.Tensor, Any] | None = None

    def before_train(self, runner: Runner) -> None:
        """Make the group in which ranks tell each other, on the CPU."""
        if runner.world_size > 1:
            self._group = dist.new_group(backend="gloo")

    def after_train(self, runner: Runner) -> None:
        """Let go of the group."""
        self._group = self._told = None

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Raise ValueError where a loss is not finite, ``StopHere`` where a signal came."""
        names = sorted(outputs or ())
        found = (_not_finite(outputs or {}, names), self.request.signal or 0)
        if self._group is not None:
            last = self.end_of_epoch(runner.train_dataloader, batch_idx)
            found = self._heard(found, at_once=last)
        loss, number = found
        if loss:
            raise ValueError(
                f"{names[loss - 1]} is not finite in epoch {runner.epoch + 1}, step {batch_idx + 1} "
                f"(iteration {runner.iter + 1}); nothing was stored since, and the newest checkpoint "
                f"is unchanged. {_way_out(data_batch)}"
            )
        if number:
            raise StopHere(number, batch_idx + 1, uncounted=1)

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Raise ``StopHere`` where a signal came."""
        if self.request.signal is not None:
            raise StopHere(self.request.signal, validating=True)

    def _heard(self, found: tuple[int, int], at_once: bool) -> tuple[int, int]:
        """Return what any rank saw in the step before, or where ``at_once`` also in this one."""
        heard = self._wait()
        tensor = torch.tensor(found)
        self._told = tensor, dist.all_reduce(tensor, dist.ReduceOp.MAX, self._group, async_op=True)
        if at_once:
            heard = max(heard[0], (now := self._wait())[0]), max(heard[1], now[1])
        return heard

    def _wait(self) -> tuple[int, int]:
        if self._told is None:
            return 0, 0
        tensor, work = self._told
        self._told = None
        work.wait()
        return int(tensor[0]), int(tensor[1])


def _way_out(batch: Any) -> str:
    """Return what helps where a loss is not finite."""
    points = batch.get("points") if isinstance(batch, dict) else None
    if isinstance(points, torch.Tensor) and not points.isfinite().all():
        return "Points of this batch are not finite: pointmcd prepare --check DATA finds a damaged set"
    return "A lower optim_wrapper.optimizer.lr helps, or optim_wrapper.clip_grad=\"{'max_norm': 1.0}\""


def _not_finite(outputs: dict[str, Any], names: list[str]) -> int:
    """Return the place, from 1, of the first loss that is not finite, 0 where there is none."""

    def finite(name: str) -> bool:
        return math.isfinite(float(torch.as_tensor(outputs[name]).detach()))

    if "loss" not in outputs or finite("loss"):  # MMEngine has read it for its log: no second wait for a GPU
        return 0
    parts = [name for name in names if name != "loss" and not finite(name)]
    return names.index(parts[0] if parts else "loss") + 1
