"""Processes that read batches: what one of them cannot hand over is an error where it is waited for."""

import os
import signal
import traceback
from collections.abc import Callable
from multiprocessing import queues
from types import FrameType
from typing import Any

from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader


def report_lost_batches(loader: DataLoader) -> DataLoader:
    """Let the workers of a loader say so when a batch cannot be handed over.

    A batch is put into shared memory by a thread of its worker. Where that fails (no room in ``/dev/shm``, a
    value that cannot be pickled), Python prints a traceback and drops the batch, and the training waits
    forever.

    Returns:
        The same loader.
    """
    if loader.num_workers:
        loader.worker_init_fn = _Start(loader.worker_init_fn)
    return loader


class _Start:
    """What a worker does first; a class, so that it can be pickled for workers that are not forked."""

    def __init__(self, first: Callable[[int], None] | None) -> None:
        self.first = first

    def __call__(self, worker: int) -> None:
        # a plain function in the place of a static method, so that it is told the queue
        queues.Queue._on_queue_feeder_error = _report  # type: ignore[attr-defined]
        # in the place of torch's handler, which ends the worker wherever the signal comes from but its parent
        signal.signal(signal.SIGTERM, _Once(os.getppid()))
        if self.first is not None:
            self.first(worker)


class _Once:
    """Overhears the first SIGTERM: a launcher sends it to all processes at once, and the parent of this one,
    which stops at the end of a step, still needs batches until then. The second ends the worker.
    """

    def __init__(self, parent: int) -> None:
        self.parent, self.heard = parent, False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.heard or os.getppid() != self.parent:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.heard = True


def _report(queue: Any, error: Exception, lost: Any) -> None:
    """Put the error where the batch should have been."""
    if not isinstance(lost, tuple):  # no batch: a queue of the dataset's own
        traceback.print_exception(error)
        return
    reason = OSError(
        f"a batch could not be handed over by a loader's worker: {str(error).partition(chr(10))[0]}; "
        "make room in /dev/shm, or give the loader num_workers=0, which needs none of it"
    )
    queue.put(
        (lost[0], ExceptionWrapper((OSError, reason, error.__traceback__), "in DataLoader worker process"))
    )
