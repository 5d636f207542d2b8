"""Every tool: what a user gets wrong is one message that says what and where, and leaves nothing behind."""

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pointmcd.commands import train
from pointmcd.commands.common import plain_errors

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = str(REPOSITORY / "configs/pointmcd_pointnet_modelnet.py")
TEACHER = str(REPOSITORY / "configs/teacher_mobilenetv2_modelnet.py")
MVNET = str(REPOSITORY / "projects/mvnet/configs/mvnet_dgcnn_builtin.py")
NO_CHECKPOINT, NO_DATA = "there is no checkpoint none.pth", "holds no prepared shapes"

# A command line for each tool, run in an empty folder, and what its message must hold.
MISTAKES = {
    "pointmcd.commands": {
        "browse_dataset": (["none"], NO_DATA),
        "cache_teacher": ([TEACHER, "none.pth"], NO_CHECKPOINT),
        "compare_runs": (["--first", "none.json", "--second", "none.json"], "none.json: No such file"),
        "convert_official": (["none.pth", "out.pth"], NO_CHECKPOINT),
        "demo": (["--work-dir", "a_file"], "a_file: File exists"),
        "distill": (["none", "--trunk", "test_resnet"], NO_DATA),
        "embed_text": (
            ["none", "--names", "chair", "--out", "out.txt"],
            "vectors are saved as .npy, not as out.txt",
        ),
        "export_student": ([CONFIG, "none.pth", "out.pth"], NO_CHECKPOINT),
        "extract_features": (["none.pth", "out.txt"], "features are saved as .npz, not as out.txt"),
        "few_shot": (["none.npz"], "none.npz: No such file"),
        "finetune": ([CONFIG, "--pretrained", "none.pth"], NO_CHECKPOINT),
        "linear_svm": (["random:0"], "random:0 does not name the data"),
        "predict": (["none.pth", "none.off"], "there is no exported student none.pth"),
        "prepare_data": (["mesh-folder", "--source", "none", "--out", "out"], "none"),
        "print_config": (["none.py"], "there is no config none.py"),
        "report": (["none"], "there is no folder none"),
        "retrieval": (["a_file", "--data", "none"], NO_DATA),
        "robustness": (["none.pth", "--data", "none"], NO_DATA),
        "test": ([CONFIG, "none.pth"], NO_CHECKPOINT),
        "train": ([CONFIG], "Prepare them: pointmcd prepare modelnet40"),
        "zero_shot": (["none.pth", "--data", "none", "--text", "none.npy"], NO_DATA),
    },
    "projects.mvnet.tools": {
        "cache_maps": ([MVNET, "--name", "x"], NO_DATA),
        "draw": ([MVNET, "none.pth", "out.png"], NO_DATA),
        "make_rooms": (["--out", "a_file"], "a_file"),
        "prepare_scenes": (
            ["--source", "none", "--out", "out", "--train", "none.txt", "--test", "none.txt"],
            "none.txt: No such file",
        ),
        "take_backbone": ([MVNET, "none.pth", "out.pth"], NO_DATA),
    },
    "projects.cross_correspondence": {
        "evaluate": (["none.py", "none.pth"], "there is no config none.py"),
        "measure_reading": (["none.py"], "there is no config none.py"),
    },
}
NO_TOOLS = {"__init__", "common", "distillation", "distillation_teacher", "frozen_checks", "frozen_features"}
NO_TOOLS |= {"frozen_teacher", "launch"}
CASES = [(package, name) for package, tools in MISTAKES.items() for name in tools]


@pytest.mark.parametrize(("package", "name"), CASES, ids=[name for _, name in CASES])
def test_a_mistake_is_one_message(package, name, tmp_path, monkeypatch):
    words, message = MISTAKES[package][name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [f"{name}.py"])
    Path("a_file").write_text("not what is looked for")
    with pytest.raises(SystemExit) as end:
        importlib.import_module(f"{package}.{name}").main(words)
    said = end.value.code  # which Python prints, to exit with 1
    assert isinstance(said, str)
    assert said.startswith(f"{name}.py: ")
    assert message in said
    assert "nobody foresaw" not in said
    assert len(said.splitlines()) <= 4
    left = {path.name for path in tmp_path.iterdir()} - {"out.partial"}  # where a preparation goes on
    assert left == {"a_file"}


def test_no_tool_is_left_out():
    tools = {path.stem for path in (REPOSITORY / "pointmcd/commands").glob("*.py")} - NO_TOOLS
    assert tools == MISTAKES["pointmcd.commands"].keys()
    assert tools == {path.stem for path in (REPOSITORY / "tools").glob("*.py")} - {"_environment"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_that_a_library_turns_into_an_error_is_one_all_the_same(number, code, capsys, request):
    # a shell's background jobs ignore Ctrl-C, and what they start does
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))

    @plain_errors("try again")
    def command():
        try:
            os.kill(os.getpid(), number)
            signal.pause()
        except BaseException:
            raise SyntaxError("Failed to format the config file")  # noqa: B904 (as MMEngine does)

    with pytest.raises(SystemExit) as end:
        command()
    assert end.value.code == code
    assert capsys.readouterr().err.endswith("interrupted; try again\n")


@pytest.mark.parametrize("rank", [0, 1])
def test_wrong_arguments_of_many_processes_are_said_once(rank, monkeypatch, capsys):
    monkeypatch.setenv("RANK", str(rank))
    with pytest.raises(SystemExit) as end:
        train.main(["--nonsense"])
    assert end.value.code == 2
    assert capsys.readouterr().err.count("usage:") == (rank == 0)


def test_many_processes_speak_with_one_voice(tmp_path):
    """Two ranks without data: the message once, and nothing of the launcher."""
    done = subprocess.run(
        [REPOSITORY / "tools/dist_train.sh", CONFIG, "2"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ
        | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "PORT": "29541",
        },
    )
    assert done.returncode == 1
    # on a busy machine what takes long says so before
    first, *middle, last = [line for line in done.stderr.splitlines() if not line.startswith("loading ")]
    assert first.startswith("train.py: data/modelnet40 holds no prepared shapes")
    assert last.startswith("Prepare them: ")
    assert len(middle) == 1
