"""``pointmcd COMMAND``: its table, its messages, and what is installed with it."""

import subprocess
import sys
from pathlib import Path

import pytest

from pointmcd import config_files
from pointmcd.__main__ import COMMANDS, main, usage
from pointmcd.config_files import CONFIGS, find_config
from pointmcd.engine import load_config

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def own_argv(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pointmcd"])
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_every_tool_is_a_command_with_a_line_of_help():
    modules = {module for module, _ in COMMANDS.values()}
    assert modules == {path.stem for path in (REPOSITORY / "tools").glob("[a-z]*.py")}
    assert all(f"  {name} " in usage() and help for name, (_, help) in COMMANDS.items())


@pytest.mark.parametrize("name", ["prepare", "linear-svm"])
def test_the_help_of_a_command_shows_what_is_typed(name, capsys):
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert f"usage: pointmcd {name} " in capsys.readouterr().out


def test_an_unknown_command_names_the_nearest(capsys):
    assert main(["trian"]) == 2
    assert "there is no command 'trian'; did you mean train" in capsys.readouterr().err
    assert main(["few_shot"]) == 2
    assert "did you mean few-shot" in capsys.readouterr().err
    assert main(["x"]) == 2
    assert "pointmcd --help lists the commands" in capsys.readouterr().err


def test_help_imports_nothing_heavy(capsys):
    program = (
        "import sys\nfrom pointmcd.__main__ import main\nassert main(['--help']) == 0\n"
        "assert not {'torch', 'numpy', 'mmengine', 'rich'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=REPOSITORY, capture_output=True)


def test_a_mistake_is_said_by_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["train", "pointmcd_dgcn_modelnet"])
    assert end.value.code == (
        "pointmcd train: there is no config pointmcd_dgcn_modelnet; did you mean pointmcd_dgcnn_modelnet or "
        "pointmcd_pointnet_modelnet or pointmcd_dgcnn_meshes?"
    )


def test_configs_are_found_by_name_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known = CONFIGS / "baseline_dgcnn_meshes.py"
    for name in ("baseline_dgcnn_meshes", "baseline_dgcnn_meshes.py", "configs/baseline_dgcnn_meshes.py"):
        assert find_config(name) == known
    own = tmp_path / "baseline_dgcnn_meshes.py"
    own.write_text("")
    assert find_config(own.name) == Path(own.name)
    with pytest.raises(FileNotFoundError, match=r"there is no config other/baseline_dgcnn_meshes.py$"):
        find_config("other/baseline_dgcnn_meshes.py")


def test_a_base_may_be_a_config_that_comes_with_pointmcd(tmp_path, taught_set):
    own = tmp_path / "pointmcd_pointnet_builtin.py"  # as its base is called
    own.write_text('_base_ = "pointmcd_pointnet_builtin.py"\nmodel = dict(backbone=dict(type="DGCNN"))\n')
    options = {"data_root": str(taught_set)}
    config, base = load_config(own, options), load_config("pointmcd_pointnet_builtin", options)
    assert config.model.backbone.type == "DGCNN"
    assert config.optim_wrapper == base.optim_wrapper
    (tmp_path / "beside.py").write_text('_base_ = "pointmcd_pointnet_builtin.py"\n')
    assert load_config(tmp_path / "beside.py", options).model.backbone.type == "DGCNN"
    (tmp_path / "wrong.py").write_text('_base_ = "pointmcd_pointnet_bultin.py"\n')
    with pytest.raises(
        FileNotFoundError, match=r"wrong.py: _base_: there is no config .*did you mean pointmcd"
    ):
        load_config(tmp_path / "wrong.py")


def test_what_is_installed_holds_every_config(tmp_path):
    """As a wheel does, less the kernels."""
    build = [
        "setup.py",
        "-q",
        "egg_info",
        "--egg-base",
        tmp_path,
        "build_py",
        "--build-lib",
        tmp_path / "lib",
    ]
    subprocess.run([sys.executable, *map(str, build)], check=True, cwd=REPOSITORY, capture_output=True)
    there = tmp_path / "lib/pointmcd/configs"
    names = {path.relative_to(CONFIGS) for path in CONFIGS.rglob("*.py")}
    assert {path.relative_to(there) for path in there.rglob("*.py")} == names
    program = "from pointmcd.config_files import *; print(find_config('baseline_dgcnn_meshes'))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path / "lib", capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()) == there / "baseline_dgcnn_meshes.py"
    assert config_files.CONFIGS == REPOSITORY / "configs"
