"""The command line of prepare_data.py, run as a user runs it."""

import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.registry import SOURCES

REPOSITORY = Path(__file__).resolve().parents[2]
TOOL = REPOSITORY / "tools/prepare_data.py"
SMALL = [
    "--points",
    "64",
    "--azimuth",
    "0",
    "180",
    "--elevation",
    "30",
    "--image-size",
    "16",
    "--workers",
    "0",
]


class Run(NamedTuple):
    code: int
    stdout: str
    stderr: str


@pytest.fixture
def run(monkeypatch, capsys) -> Callable[..., Run]:
    """Runs the tool in this process and gives its exit code and what it printed."""
    monkeypatch.syspath_prepend(str(TOOL.parent))

    def call(*arguments: object) -> Run:
        monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(TOOL), run_name="__main__")
        said = capsys.readouterr()
        if isinstance(end.value.code, str):  # Python prints it and exits with 1
            return Run(1, said.out, said.err + end.value.code)
        return Run(end.value.code, said.out, said.err)

    return call


@pytest.fixture
def meshes(tiny_meshes: Path, tmp_path: Path) -> Path:
    for name in ("box", "cone"):
        shutil.copytree(tiny_meshes / name, tmp_path / "meshes" / name)
    return tmp_path / "meshes"


def test_prepare_check_and_damage(run, meshes, tmp_path):
    out = tmp_path / "out"
    done = run("mesh-folder", "--source", meshes, "--out", out, *SMALL)
    assert done.code == 0, done.stderr
    assert "12 train, 6 test shapes" in done.stdout
    prepared = PreparedSet(out)
    assert prepared.manifest["rig"]["azimuth_deg"] == [0, 180]
    assert prepared.manifest["rig"]["elevation_deg"] == [30, 30]

    assert "already prepared" in run("mesh-folder", "--source", meshes, "--out", out, *SMALL).stdout
    done = run("--check", out)
    assert (done.code, prepared.digest in done.stdout) == (0, True)
    path = out / "test/points.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    done = run("--check", out)
    assert done.code == 1
    assert "test/points.npy was changed" in done.stderr


def test_exit_code_tells_rejected_shapes(run, meshes, tmp_path):
    (meshes / "box/train/bad.off").write_text("OFF\n")
    done = run("mesh-folder", "--source", meshes, "--out", tmp_path / "out", *SMALL)
    assert done.code == 3
    assert "rejected train/box/bad: " in done.stderr
    assert "rejected: 1" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mesh-folder", "--source", "nowhere"], "nowhere"),
        (["builtin", "--rig", "tripod"], "unknown camera rig 'tripod'"),
        (["builtin", "--azimuth", "0"], "--azimuth and --elevation go together"),
    ],
)
def test_failure_is_one_line_and_exit_code_1(run, tmp_path, arguments, message):
    done = run(*arguments, "--out", tmp_path / "out")
    assert done.code == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_ranks_of_torchrun_share_the_work(run, meshes, tmp_path):
    arguments = ["mesh-folder", "--source", str(meshes), *SMALL, "--out"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    together = subprocess.run(
        [*launcher, str(TOOL), *arguments, str(tmp_path / "together")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert together.returncode == 0, together.stderr
    assert run(*arguments, tmp_path / "alone").code == 0
    assert PreparedSet(tmp_path / "together").digest == PreparedSet(tmp_path / "alone").digest


def test_options_of_images(run, tmp_path):
    builtin = ["builtin", "--train", "1", "--test", "1", "--categories", "chair", "table", *SMALL]
    done = run(*builtin, "--out", tmp_path / "deep", "--depths")
    assert done.code == 0, done.stderr
    prepared = PreparedSet(tmp_path / "deep")
    assert prepared.class_names == ["chair", "table"]
    assert (prepared.has_part_views, prepared.has_depths) == (True, True)
    done = run(*builtin, "--out", tmp_path / "alone", "--no-views")
    assert "It has no views" in done.stdout
    prepared = PreparedSet(tmp_path / "alone")
    assert (prepared.has_views, prepared.has_visibility, prepared.num_views) == (False, False, 0)
    done = run(*builtin, "--out", tmp_path / "bad", "--no-views", "--depths")
    assert done.code == 1
    assert "depths need rendered views" in done.stderr


def test_more_views_than_a_mask_holds(run, tmp_path):
    size = ["--points", "32", "--image-size", "8", "--workers", "0", "--rig", "fibonacci40"]
    builtin = ["builtin", "--train", "1", "--test", "1", "--categories", "cup", *size]
    done = run(*builtin, "--out", tmp_path / "many")
    assert done.code == 1
    assert "40 views, masks hold 31; take fewer, or --visibility none" in done.stderr
    assert run(*builtin, "--out", tmp_path / "many", "--visibility", "none").code == 0
    split = PreparedSet(tmp_path / "many").split("train")
    assert split.views.read(0, 39).shape == (8, 8, 3)
    assert split.visibility is None


def test_the_public_clouds_with_parts(run, shared, tmp_path):
    sample = shared / "data/shapenetpart_sample.tar.xz"
    done = run("shapenet-part", "--source", sample, "--out", tmp_path / "set", *SMALL)
    assert done.code == 3, done.stderr
    assert "212e0563473156e255483301a044235: listed, but the file is missing" in done.stderr
    assert (
        "already prepared"
        in run("shapenet-part", "--source", sample, "--out", tmp_path / "set", *SMALL).stdout
    )
    prepared = PreparedSet(tmp_path / "set")
    assert len(prepared.part_names) == 50
    assert prepared.has_part_views
    damaged = tmp_path / "cut.tar.xz"
    damaged.write_bytes(sample.read_bytes()[:50_000])
    done = run("shapenet-part", "--source", damaged, "--out", tmp_path / "set", "--overwrite", *SMALL)
    assert done.code == 1
    assert "cannot be unpacked" in done.stderr
    prepared.verify()  # nothing of it was lost


@pytest.mark.parametrize(
    ("parameters", "declared", "message"),
    [
        ("self, size", "pass", "Odd: add_arguments lacks size, which the constructor takes"),
        (
            "self",
            "parser.add_argument('--size')",
            "Odd: the constructor lacks size, which add_arguments declares",
        ),
    ],
    ids=["not declared", "not taken"],
)
def test_a_source_whose_arguments_are_not_its_constructor_s_is_refused(
    parameters, declared, message, run, tmp_path, monkeypatch
):
    (tmp_path / "odd_source.py").write_text(
        f"""from pointmcd.datasets.preparation.sources import Source
from pointmcd.registry import SOURCES

@SOURCES.register_module(name="odd")
class Odd(Source):
    def __init__({parameters}): ...
    @staticmethod
    def add_arguments(parser): {declared}
    def load(self, item): ...
"""
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        done = run("--imports", "odd_source", "odd", "--out", tmp_path / "out")
    finally:
        SOURCES.module_dict.pop("odd")
        sys.modules.pop("odd_source")
    assert done.code == 1
    assert message in done.stderr


def test_a_set_within_its_source_is_refused(run, meshes):
    done = run("mesh-folder", "--source", meshes, "--out", meshes / "prepared", *SMALL)
    assert done.code == 1
    assert "lies in the source" in done.stderr
    assert not (meshes / "prepared.partial").exists()
