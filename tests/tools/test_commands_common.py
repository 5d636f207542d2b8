"""The frame of all commands: what becomes one message, and what keeps its traceback."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from pointmcd.commands.common import add_cfg_options, make_parser, plain_errors


def ended(error):
    """How a command ends in which ``error`` is raised."""

    @plain_errors("do it again")
    def main():
        raise error

    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("no such class"), "no such class"),
        (FileNotFoundError("there is no x.pth"), "there is no x.pth"),
        (PermissionError(13, "Permission denied", "out/x.pth"), "out/x.pth: Permission denied"),
        (
            OSError(28, "No space left on device", "x"),
            "x: No space left on device; make room, then do it again",
        ),
        (MemoryError(), "out of memory"),
        (
            ValueError(
                "Caught PreparedSetError in DataLoader worker process 0.\nOriginal Traceback (most recent "
                'call last):\n  File "x.py", line 3, in f\n    raise\na.PreparedSetError: it is damaged\n'
                "Prepare it again: python x\n"
            ),
            "it is damaged\nPrepare it again: python x",
        ),
    ],
    ids=["value", "file", "permission", "full", "memory", "loader"],
)
def test_an_error_of_the_user_is_one_message(error, message):
    assert ended(error).partition(": ")[2] == message


def test_a_refusal_that_nobody_foresaw_says_where_it_came_from(monkeypatch):
    @plain_errors()
    def main():
        np.load(__file__, allow_pickle=False)

    with pytest.raises(
        SystemExit, match=r"\(nobody foresaw this, in .*npyio\S*, line \d+; POINTMCD_TRACEBACK=1"
    ):
        main()
    monkeypatch.setenv("POINTMCD_TRACEBACK", "1")
    with pytest.raises(ValueError, match="pickle"):
        main()


@pytest.mark.parametrize("fault", [KeyError("a"), RuntimeError("b"), TypeError("c")])
def test_a_fault_of_the_toolbox_keeps_its_traceback(fault):
    @plain_errors()
    def main():
        raise fault

    with pytest.raises(type(fault)):
        main()


def test_interruptions_say_how_to_go_on(capsys):
    assert ended(KeyboardInterrupt()) == 130
    assert "interrupted; do it again" in capsys.readouterr().err
    before = signal.getsignal(signal.SIGTERM)

    @plain_errors("do it again")
    def main():
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()

    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 143
    assert "interrupted; do it again" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_ranks_but_the_first_are_silent_and_leave_their_message(monkeypatch, tmp_path):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    assert ended(ValueError("wrong")) == 1
    assert json.loads((tmp_path / "error.json").read_text())["message"].endswith("wrong")


def test_options_given_twice_all_count():
    parser = make_parser("A command.")
    add_cfg_options(parser)
    words = ["--cfg-options", "a=1", "b=2", "--cfg-options", "c=3"]
    assert parser.parse_args(words).cfg_options == ["a=1", "b=2", "c=3"]
    assert parser.parse_args([]).cfg_options == []


def test_help_and_mistakes_in_words_need_no_torch():
    """Commands import after parsing: ``--help`` of all of them in one process that never loads torch."""
    program = (
        "import contextlib, importlib, io, pkgutil, sys\n"
        "import pointmcd.commands\n"
        "for module in pkgutil.iter_modules(pointmcd.commands.__path__):\n"
        "    command = importlib.import_module(f'pointmcd.commands.{module.name}')\n"
        "    if not hasattr(command, 'main') or module.name == 'launch': continue\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):\n"
        "        command.main(['--help'])\n"
        "    assert 'usage:' in shown.getvalue(), module.name\n"
        "    assert not {'torch', 'matplotlib', 'sklearn'} & set(sys.modules), module.name\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
