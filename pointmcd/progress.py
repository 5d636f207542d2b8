"""How far a long job is: a bar with the time left on a terminal, elsewhere a line now and then.

No job is without a sign of life for longer than ``EVERY`` seconds, however long one of its steps takes.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

EVERY = 25.0
"""Seconds between the lines where there is no terminal."""
Item = TypeVar("Item")


def is_live(console: Console) -> bool:
    """Return whether a bar can be drawn: on a terminal, by a process that has it for itself."""
    return console.is_terminal and not console.is_dumb_terminal and os.environ.get("WORLD_SIZE", "1") == "1"


class Progress:
    """A job of one step after another, shown within ``with``; its bar goes when it ends.

    Args:
        console: Where it is shown; by default standard error, so that results alone are on standard output.
        seconds_left: Says how long the rest takes; by default, as long a step as so far.
    """

    def __init__(
        self, console: Console | None = None, seconds_left: Callable[[], float | None] | None = None
    ) -> None:
        self.console = console or Console(stderr=True)
        self._seconds_left = seconds_left or self.at_this_pace
        self._title, self._note = "", ""
        self._total: float | None = None
        self._done = self._first = 0.0
        self._begin = time.monotonic()
        self._bar: Bar | None = None
        self._ended = threading.Event()

    def __enter__(self) -> Progress:
        if os.environ.get("RANK", "0") != "0":
            return self
        if is_live(self.console):
            columns = (
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                _Rest(self),
            )
            self._bar = Bar(*columns, console=self.console, transient=True, refresh_per_second=4)
            self._task = self._bar.add_task("", total=None, visible=False)
            self._bar.start()
        else:
            self._ended = threading.Event()
            threading.Thread(target=self._say_now_and_then, args=(self._ended,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def begin(self, title: str, total: float | None = None, done: float = 0) -> None:
        """Begin a job.

        Args:
            title: What it is.
            total: Its steps; None where nobody knows.
            done: Those that an earlier process has made.
        """
        self._title, self._total, self._done, self._first = title, total, done, done
        self._note, self._begin = "", time.monotonic()
        if self._bar is not None:
            self._bar.reset(self._task, total=total, completed=int(done), description=title, visible=True)

    def advance(self, steps: float = 1, title: str | None = None, note: str | None = None) -> None:
        """Count steps as done, and say what else is new."""
        self._done += steps
        self._title = self._title if title is None else title
        self._note = self._note if note is None else note
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, description=self._title)

    def track(self, items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
        """Hand on the items of one job; a step is an item that was worked on."""
        self.begin(description, len(items) if total is None and isinstance(items, Sized) else total)
        for item in items:
            yield item
            self.advance()

    def print(self, text: str) -> None:
        """Print a line that stays, above the bar; where the terminal is gone, the job goes on without."""
        with contextlib.suppress(OSError):
            self.console.print(text, soft_wrap=True, markup=False, highlight=False)
            self.console.file.flush()

    def left(self) -> str:
        """Return ``1:02:03 left``, or nothing before the first step."""
        seconds = self._seconds_left()
        return "" if seconds is None else f"{clock(seconds)} left"

    def at_this_pace(self) -> float | None:
        """Return the seconds that the rest takes at the pace of what was done, None before the first step."""
        made = self._done - self._first
        if self._total is None or made <= 0:
            return None
        return (time.monotonic() - self._begin) / made * max(self._total - self._done, 0)

    def state(self) -> str:
        """Return how far the job is, in words."""
        return f"{self._title}, {self.rest()}"

    def rest(self) -> str:
        """Return the steps, the note, and the time left or, where nobody knows that, the time passed."""
        steps = f"{self._done:.0f} of {self._total:.0f}" if self._total else ""
        passed = f"{clock(time.monotonic() - self._begin)} so far"
        return ", ".join(filter(None, (steps, self._note, self.left() or passed)))

    def _say_now_and_then(self, ended: threading.Event) -> None:
        while not ended.wait(EVERY):
            if self._title:
                self.print(self.state())


def track(items: Iterable[Item], description: str) -> Iterator[Item]:
    """Hand on items, and show how many were worked on."""
    with Progress() as progress:
        yield from progress.track(items, description)


class _Rest(ProgressColumn):
    """What stands behind the bar."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self.progress = progress

    def render(self, task: Task) -> Text:
        return Text(self.progress.rest())


def clock(seconds: float) -> str:
    """Return ``1:02:03``, ``2:03`` of seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
