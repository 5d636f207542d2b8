"""What all commands share: arguments, tables, and errors as one message. It imports nothing heavy."""

import argparse
import errno
import json
import os
import re
import shlex
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

PACKAGE = Path(__file__).resolve().parents[1]
TRACEBACK = "POINTMCD_TRACEBACK"
FAILURES = "TORCHELASTIC_ERROR_FILE"
"""Names the file in which a process that torchrun started leaves its message."""
STARTS_ANEW = "the same command starts anew"
# A worker's error holds its whole traceback; the message begins behind the last name of an exception.
FROM_A_LOADER = re.compile(
    r"Caught .* in DataLoader worker .*^[\w.]*(?:Error|Exception): ", re.DOTALL | re.MULTILINE
)

LOST_WORKER = re.compile(r"DataLoader worker \(pid.*\) (is killed by signal: [\w ]+|exited unexpectedly)")
PEER_GONE = re.compile(r"gloo/transport.*(closed|reset) by peer|NCCL.*remote process exited", re.DOTALL)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments once, also where each of several ranks is given them."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if _speaks():
            super()._print_message(message, file)


def make_parser(doc: str | None) -> argparse.ArgumentParser:
    """Make the parser of a command, with the command's docstring as its help."""
    parser = _Parser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--verbose",
        action=_Verbose,
        help="show all: what else goes to the log file alone, and other packages' deprecation warnings",
    )
    return parser


class _Verbose(argparse.Action):
    """A flag that also lets every warning through, from where it is parsed on."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, default=False, help=help)

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, *_: object) -> None:
        warnings.resetwarnings()
        setattr(namespace, self.dest, True)


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse seeds that are no seeds, or one that would count as several runs."""
    if min(seeds) < 0 or len(set(seeds)) < len(seeds):
        given = " ".join(map(str, seeds))
        raise ValueError(f"--seeds {given}: give different numbers, 0 or above")


def add_cfg_options(
    parser: argparse.ArgumentParser, help: str = "override the config", name: str = "--cfg-options"
) -> None:
    """Add ``--cfg-options KEY=VALUE ...``; given more than once, all of them count."""
    parser.add_argument(name, nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=help)


def add_imports(parser: argparse.ArgumentParser) -> None:
    """Add ``--imports MODULE``, for ``registry.import_modules``; a config has ``custom_imports`` instead."""
    parser.add_argument(
        "--imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="import a module that registers components of one's own (my_package.my_source); repeatable",
    )


def make_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], last: Iterable[Sequence[str]] = ()
) -> "Table":
    """Make a table to print; a column whose name begins with ``>`` is aligned to the right. Texts are shown
    as they are, brackets too.

    Args:
        title: Stands above it.
        columns: Their names.
        rows: A text for each column.
        last: Rows below a line, such as the mean.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title))
    for column in columns:
        name = column.removeprefix(">")
        table.add_column(Text(name), justify="left" if name == column else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    table.add_section()
    for row in last:
        table.add_row(*map(Text, row))
    return table


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised where it arrives, so that it ends a command as Ctrl-C does."""

    signal = signal.SIGTERM


@contextmanager
def plain_errors(go_on: str = STARTS_ANEW) -> Iterator[None]:
    """End a command with the message alone where what the user gave is wrong, missing or in the way.

    A decorator of a command's ``main``, ``@plain_errors()``. ValueError, OSError and a lack of memory
    become one message and exit code 1; Ctrl-C and SIGTERM one message and exit code 130 or 143. Anything
    else is a fault of the toolbox and keeps its traceback, and a ValueError that no ``raise`` of ours
    made says where it comes from. Under torchrun rank 0 speaks for all; each rank also leaves its message
    where the launcher finds it (``launch``). Under srun, which collects none, each speaks.

    Args:
        go_on: What to do after an interruption.
    """
    try:
        with _sigterm_raises(), _interrupts_come_through(), warnings.catch_warnings():
            _pass_over_deprecations()
            yield
    except KeyboardInterrupt as stop:
        # the launcher ends the other processes where one has failed, and that one says why
        if str(stop) or not (isinstance(stop, Terminated) and FAILURES in os.environ):
            _say(f"{str(stop) or 'interrupted'}; {go_on}")
        raise SystemExit(128 + getattr(stop, "signal", signal.SIGINT)) from None
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except (ValueError, OSError, MemoryError) as error:
        if os.environ.get(TRACEBACK):
            raise
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise _ending(_message(error) + (f"; make room, then {go_on}" if full else "")) from None
    except ImportError as error:
        if "pip install" not in str(error):  # MMEngine's loggers say so of their packages
            raise
        raise _ending(str(error)) from None
    except RuntimeError as error:
        if found := LOST_WORKER.match(str(error)):
            raise _ending(
                f"{found[0]}: memory or room in /dev/shm ran out, or somebody ended it; fewer num_workers "
                f"need less. Then {go_on}"
            ) from None
        if PEER_GONE.search(str(error)):
            _say(f"another process of this run ended, and this one with it; {go_on}")
            raise SystemExit(1) from None
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which is not imported for its name
            raise
        raise _ending(f"{str(error).partition('. ')[0]}; a smaller batch_size needs less") from None


def _pass_over_deprecations() -> None:
    """Leave out what other packages say of each other's future, unless the user has asked for warnings."""
    if sys.warnoptions:
        return
    others = r"(?!pointmcd\b|__main__)"
    for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
        warnings.filterwarnings("ignore", category=category, module=others)
    warnings.filterwarnings("ignore", message="(?is).*deprecated", module=others)


def next_step(*words: object) -> str:
    """Return a command that can be typed, ``pointmcd WORD ...``."""
    return shlex.join(["pointmcd", *map(str, words)])


def _ending(message: str) -> SystemExit:
    """Return the end of the process with a message, which Python prints, and exit code 1."""
    message = f"{Path(sys.argv[0]).name}: {message}"
    if path := os.environ.get(FAILURES):
        Path(path).write_text(json.dumps({"message": message, "timestamp": int(time.time())}))
        return SystemExit(message if _speaks() else 1)
    return SystemExit(message if _speaks() else f"{message} (said by rank {os.environ['RANK']})")


def _say(message: str) -> None:
    if _speaks():
        print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr)


def _speaks() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        places = " -> ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
        return f"{places or 'a file that is written'}: {error.strerror}"
    if isinstance(error, MemoryError):
        return str(error) or "out of memory"
    text = str(error)
    if found := FROM_A_LOADER.match(text):
        return text[found.end() :].strip()
    last = traceback.extract_tb(error.__traceback__)[-1]
    if isinstance(error, OSError) or (_ours(last.filename) and (last.line or "raise").startswith("raise")):
        return text
    where = f"{'/'.join(Path(last.filename).parts[-2:])}, line {last.lineno}"
    return f"{text} (nobody foresaw this, in {where}; {TRACEBACK}=1 shows the traceback)"


def _ours(filename: str) -> bool:
    """Return whether a file is of the toolbox or of a user's own code, rather than of a library."""
    return Path(filename).is_relative_to(PACKAGE) or not {"site-packages", "lib"} & set(Path(filename).parts)


@contextmanager
def _interrupts_come_through() -> Iterator[None]:
    """Raise the interrupt that a library caught and raised as an error of its own (yapf, for MMEngine)."""
    try:
        yield
    except Exception as error:
        behind: BaseException | None = error
        while behind is not None:
            if isinstance(behind, KeyboardInterrupt):
                raise behind from None
            behind = behind.__context__
        raise


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Let SIGTERM raise ``Terminated`` in this process; processes that it forks end as they always did."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner = os.getpid()

    def stop(number: int, frame: object) -> None:
        if os.getpid() == owner:
            raise Terminated
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
