"""What a preparation meets: odd folders, shapes that never end, other processes, and its own end."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from trimesh import creation

from pointmcd.commands import prepare_data
from pointmcd.datasets.preparation import workers
from pointmcd.datasets.preparation.job import PreparationError, Request, prepare
from pointmcd.datasets.preparation.sources import SourceError
from pointmcd.datasets.preparation.sources.mesh_folder import MeshFolder
from pointmcd.datasets.preparation.workers import KILLED
from pointmcd.datasets.prepared_set import MANIFEST, PreparedSet
from pointmcd.files import read_json, write_json

SMALL = ["--points", "64", "--no-views", "--workers", "0"]
ODD = """
import os, signal, sys
from pointmcd.commands import prepare_data
from pointmcd.datasets.preparation.sources.mesh_folder import MeshFolder
import numpy as np

def load(self, item, load=MeshFolder.load):
    if item.name == "a/slow":
        signal.pause()
    if item.name == "a/stop":
        os.kill(os.getppid(), signal.SIGTERM)
        signal.pause()
    if item.name == "a/large":
        np.zeros(1 << 33, np.uint8)
    return load(self, item)

MeshFolder.load = load
if __name__ == "__main__":
    sys.exit(prepare_data.main(sys.argv[1:]))
"""
"""A job in which one shape never ends, another takes 8 GiB, and a third ends the job."""


@pytest.fixture
def meshes(tmp_path: Path) -> Path:
    root = tmp_path / "meshes"
    for name in ("a/train/x", "a/test/y", "b/train/x", "b/test/y"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        creation.box((1, 2, 3)).export(root / f"{name}.off")
    return root


@pytest.fixture
def run(meshes: Path, tmp_path: Path) -> Callable[..., int]:
    """Prepares ``meshes`` into ``out``."""

    def call(*more: object, out: Path = tmp_path / "out") -> int:
        words = ["mesh-folder", "--source", meshes, "--out", out, *SMALL, *more]
        return prepare_data.main([str(word) for word in words])

    return call


def test_shapes_that_take_too_much_are_rejected_and_the_rest_is_prepared(meshes, tmp_path):
    for name in ("slow", "large"):
        shutil.copy(meshes / "a/train/x.off", meshes / f"a/train/{name}.off")
    script = tmp_path / "odd.py"
    script.write_text(ODD)
    command = [sys.executable, script, "mesh-folder", "--source", meshes, "--out", tmp_path / "out"]
    limits = ["--points", "64", "--no-views", "--workers", "2", "--shape-seconds", "2", "--shape-memory", "6"]
    done = subprocess.run([*command, *limits], capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    rejected = {r["name"]: r["reason"] for r in PreparedSet(tmp_path / "out").manifest["rejected"]}
    assert rejected == {
        "a/slow": "took longer than 2 s (--shape-seconds)",
        "a/large": "needs more memory than it may use (--shape-memory)",
    }
    assert KILLED not in rejected.values()


def test_a_run_that_is_ended_says_how_to_go_on_and_leaves_no_process(meshes, tmp_path):
    shutil.copy(meshes / "a/train/x.off", meshes / "a/train/stop.off")
    script = tmp_path / "odd.py"
    script.write_text(ODD)
    command = [sys.executable, script, "mesh-folder", "--source", meshes, "--out", tmp_path / "out"]
    command += ["--points", "64", "--no-views", "--workers", "1"]
    # It ends when nobody holds the pipe of its messages any more: neither the job nor a child of it.
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 143, done.stderr
    assert "interrupted; the same command goes on from here" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["meshes", "odd.py", "out.partial"]


def test_a_file_that_changed_but_not_in_size_is_noticed(run, meshes, tmp_path, capsys):
    run()
    assert "already prepared" not in capsys.readouterr().out
    run()
    assert "already prepared" in capsys.readouterr().out
    path = meshes / "a/train/x.off"
    path.write_text(path.read_text().replace("-1.5", "-1.4"))
    with pytest.raises(SystemExit, match=r"source_times: files were changed.*(?s:.)*--overwrite"):
        run()
    # what an earlier version recorded is compared as far as it goes
    manifest = read_json(tmp_path / "out" / MANIFEST)
    del manifest["manifest_sha256"], manifest["request"]["source_times"]
    write_json(tmp_path / "out" / MANIFEST, manifest)
    run()
    assert "already prepared" in capsys.readouterr().out


def test_folders_that_are_links(run, meshes, tmp_path, capsys):
    (meshes / "b").rename(tmp_path / "elsewhere")
    (meshes / "b").symlink_to(tmp_path / "elsewhere")
    (meshes / "a/train/up").symlink_to(meshes)
    run()
    assert PreparedSet(tmp_path / "out").class_names == ["a", "b"]
    assert "2 train, 2 test" in capsys.readouterr().out
    path = tmp_path / "elsewhere/train/x.off"
    path.write_text(path.read_text().replace("-1.5", "-1.4"))
    with pytest.raises(SystemExit, match=r"source_times: files were changed"):
        run()
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "loop").symlink_to(alone)
    with pytest.raises(SourceError, match="no class folders with meshes"):
        MeshFolder(alone)


def test_what_is_passed_over_is_counted_and_named(meshes, capsys):
    for name in ("lamp/train/x.gltf", "a/test/x.fbx", "a/train/x.mtl", "a/id1/x.off", "z.off", "a/.hidden"):
        (meshes / name).parent.mkdir(parents=True, exist_ok=True)
        (meshes / name).touch()
    (meshes / "empty").mkdir()
    (meshes / "b/test").rename(meshes / "b/Test")
    source = MeshFolder(meshes)
    assert [item.file for item in source.items] == [
        "a/train/x.off",
        "b/train/x.off",
        "a/test/y.off",
        "b/Test/y.off",
    ]
    assert capsys.readouterr().err.splitlines() == [
        "2 class folder(s) without meshes are left out: empty, lamp",
        "1 folder(s) are passed over, as they are not splits (train, val, test): a/id1",
        "1 mesh(es) that lie in no class folder are left out: z.off",
        "2 files of formats that are not read are passed over (1 .fbx, 1 .gltf): a/test/x.fbx, "
        "lamp/train/x.gltf",
    ]


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("seg_ok", 0, None),
        ("seg_one_part", 0, None),
        ("seg_short", 3, "balltrain0.seg has 79 parts, the mesh has 80 faces"),
        ("seg_per_vertex", SystemExit, "boxtrain0.seg has 8 parts, the mesh has 12 faces"),
        ("seg_floats", SystemExit, "balltrain0.seg is not one integer per face"),
    ],
)
def test_given_parts_of_faces(cases, tmp_path, capsys, name, code, reason):
    words = ["mesh-folder", "--source", str(cases / name / "src"), "--out", str(tmp_path / "out"), *SMALL]
    if code is SystemExit:
        with pytest.raises(SystemExit, match=reason):
            prepare_data.main(words)
        assert not (tmp_path / "out").exists()
        return
    assert prepare_data.main(words) == code
    assert (reason or "") in capsys.readouterr().err
    prepared = PreparedSet(tmp_path / "out")
    assert len(prepared.split("train")) == (4 if reason else 6)
    assert prepared.class_parts == ([[0, 1], [2, 3]] if name == "seg_ok" else [[0], [1]])


def test_a_pipe_among_the_meshes_is_refused(meshes, run):
    os.mkfifo(meshes / "a/train/pipe.off")
    with pytest.raises(SystemExit, match=r"pipe.off is neither a file nor a folder"):
        run()


def test_unlabelled_shapes_leave_those_that_are_tested_on(run, meshes, tmp_path, capsys):
    run("--unlabelled")
    said = capsys.readouterr()
    assert "2 train shapes" in said.out
    assert "2 mesh(es) in folders named test are left out, to test on (--unlabelled all takes" in said.err
    assert PreparedSet(tmp_path / "out").split("train").names == ["a/train/x", "b/train/x"]
    with pytest.raises(SystemExit, match="unlabelled: train there, True asked for"):
        run("--unlabelled", "all")
    run("--unlabelled", "all", out=tmp_path / "all")
    assert len(PreparedSet(tmp_path / "all").split("train")) == 4
    assert PreparedSet(tmp_path / "all").manifest["request"]["unlabelled"] is True  # as it ever was


def test_one_shape_a_class_is_said(run, meshes, capsys):
    run()
    assert "2 of 2 classes have one shape to train on" in capsys.readouterr().out
    for path in meshes.glob("*/test"):
        shutil.rmtree(path)
    run("--overwrite")
    assert "It has no shapes to test on; --test-fraction draws some" in capsys.readouterr().out


def test_out_may_be_a_link_and_no_mount_point(run, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk/set")
    run()
    assert (tmp_path / "out").is_symlink()
    first = PreparedSet(tmp_path / "out").digest
    run("--seed", "1", "--overwrite")
    assert (tmp_path / "out").is_symlink()
    assert PreparedSet(tmp_path / "disk/set").digest != first
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["set"]
    for mount in ("/", "/proc"):
        with pytest.raises(SystemExit, match=r"is a mount point, which cannot be replaced as a whole"):
            run(out=Path(mount))


def test_what_killed_processes_left_is_removed(meshes, tmp_path):
    shapes = tmp_path / "out.partial/shapes"
    shapes.mkdir(parents=True)
    (shapes / "0000000.7.tmp").touch()
    (tmp_path / "out.partial/set/train").mkdir(parents=True)
    prepare(Request("mesh-folder", {"source": meshes}, num_points=64, views=False), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["meshes", "out"]


def test_settings_are_those_of_settings():
    with pytest.raises(TypeError, match="there is no setting pionts; choose from num_points, up"):
        Request("builtin", {}, pionts=3)
    source = MeshFolder.__new__(MeshFolder)
    assert Request("mesh-folder", {}, num_points=None).settings(source).points.num_points == 2048


def test_records_are_as_they_were():
    """What sets of earlier versions recorded must be recognised."""
    record = Request("builtin", {"train": 3, "seed": 0}, seed=4, visibility="hpr", depths=True).record()
    rig = record.pop("rig")
    assert (len(rig["azimuth_deg"]), rig["elevation_deg"][0]) == (12, 30.0)
    assert list(record.items()) == [
        ("source", "builtin"),
        ("source_files", None),
        ("train", 3),
        ("seed", 4),
        ("points", 2048),
        ("up", None),
        ("image_size", 224),
        ("shading", "smooth"),
        ("background", 255),
        ("visibility", "hpr"),
        ("hpr_radius", 100.0),
        ("depths", True),
    ]
    assert "views" not in record
    alone = Request("builtin", {}, views=False).record()
    assert (alone["views"], alone["visibility"], alone["image_size"]) == (False, None, 224)
    assert "hpr_radius" not in alone
    assert np.isfinite(rig["distance"])


def test_a_split_that_lost_its_shapes_leaves_nothing_in_place(meshes, tmp_path):
    for path in meshes.glob("*/test/*.off"):
        path.write_text("OFF\n")
    with pytest.raises(PreparationError, match="no usable shape in the split test"):
        prepare(Request("mesh-folder", {"source": meshes}, num_points=64, views=False), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_workers_leave_ctrl_c_to_their_parent():
    """From their first moment on: one that is still importing would print a traceback."""
    with workers._sigint_blocked():
        pool = multiprocessing.get_context("spawn").Pool(1)
    with pool:
        assert signal.SIGINT in pool.apply(signal.pthread_sigmask, (signal.SIG_BLOCK, ()))
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
