"""The job: what is rejected, what survives an interruption, what is done twice."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from trimesh import creation

from pointmcd.datasets.preparation.job import PreparationError, Request, prepare
from pointmcd.datasets.preparation.sources import Item, Shape, Source, SourceError
from pointmcd.datasets.preparation.sources.base import check_contract
from pointmcd.datasets.preparation.workers import KILLED, ShapeJob
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.folders import BusyError
from pointmcd.geometry import CameraRig

TWO_VIEWS = CameraRig((0.0, 180.0), (30.0, 30.0))
SUICIDE = """
import os, signal, sys
from pathlib import Path
from pointmcd.datasets.preparation.job import Request, prepare
from pointmcd.datasets.preparation.sources.mesh_folder import MeshFolder
from pointmcd.geometry import CameraRig

def load(self, item, load=MeshFolder.load):
    if item.name.endswith(killer):
        os.kill(os.getpid(), signal.SIGKILL)
    return load(self, item)

source, out, workers, killer = sys.argv[1:]
MeshFolder.load = load
if __name__ == "__main__":
    rig = CameraRig((0.0, 180.0), (30.0, 30.0))
    request = Request("mesh-folder", {"source": Path(source)}, num_points=64, rig=rig, image_size=16)
    prepare(request, Path(out), int(workers))
"""
"""A job in which a mesh kills the process that loads it."""


def small(source: Path, **changes) -> Request:
    settings = {"num_points": 64, "rig": TWO_VIEWS, "image_size": 16} | changes
    return Request("mesh-folder", {"source": source}, **settings)


@pytest.fixture(scope="module")
def meshes(tiny_meshes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of ``tiny_meshes``."""
    root = tmp_path_factory.mktemp("two") / "meshes"
    for name in ("box", "cone"):
        shutil.copytree(tiny_meshes / name, root / name)
    return root


@pytest.fixture(scope="module")
def expected(meshes: Path) -> str:
    """The digest of ``small(meshes)``."""
    return prepare(small(meshes), meshes.with_name("expected")).digest


def run_suicide(tmp_path: Path, meshes: Path, workers: int, killer: str) -> subprocess.CompletedProcess:
    script = tmp_path / "suicide.py"
    script.write_text(SUICIDE)
    command = [sys.executable, str(script), str(meshes), str(tmp_path / "out"), str(workers), killer]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_manifest_says_what_was_done(tiny_set):
    prepared = PreparedSet(tiny_set)
    manifest = prepared.manifest
    assert prepared.class_names == ["box", "cone", "cylinder", "torus"]
    assert manifest["splits"] == {"train": 24, "test": 12}
    assert manifest["points"] == {"num_points": 128, "up": "z", "seed": 0, "normalization": "bounding_box"}
    assert manifest["views"] == {"size": 32, "shading": "smooth", "background": 255}
    assert (manifest["source"], manifest["visibility"], manifest["num_views"]) == ("mesh-folder", "ray", 4)
    assert CameraRig.from_dict(manifest["rig"]).elevation_deg == (30.0,) * 4
    assert manifest["rejected"] == []
    for name in prepared.splits:
        split = prepared.split(name)
        assert [split.names[row].split("/")[0] for row in range(len(split))] == [
            prepared.class_names[label] for label in split.labels
        ]
        np.testing.assert_allclose(np.linalg.norm(split.normals, axis=2), 1, atol=1e-5)
        assert np.linalg.norm(split.points, axis=2).max() <= 1 + 1e-6
        assert split.visibility.max() < 2**4
        assert split.views.read(len(split) - 1, 3).shape == (32, 32, 3)
    assert not tiny_set.with_name("set.partial").exists()


def test_bad_meshes_are_rejected_with_their_reason_and_harm_nothing(meshes, tmp_path):
    source = shutil.copytree(meshes, tmp_path / "meshes")
    bad = {
        "empty": "",
        "garbage": "OFF\nno numbers here\n",
        "nan": "OFF\n3 1 0\n0 0 0\n1 0 nan\n0 1 0\n3 0 1 2\n",
        "line": "OFF\n3 1 0\n0 0 0\n1 0 0\n2 0 0\n3 0 1 2\n",
        "point": "OFF\n3 1 0\n1 1 1\n1 1 1\n1 1 1\n3 0 1 2\n",
        "truncated": "OFF\n3 1 0\n0 0 0\n1 0 0\n",
    }
    for name, text in bad.items():
        (source / "box/train" / f"{name}.off").write_text(text)
    result = prepare(small(source), tmp_path / "out")
    assert result.splits == {"train": 12, "test": 6}
    rejected = PreparedSet(tmp_path / "out").manifest["rejected"]
    assert rejected == result.rejected
    assert {r["name"]: (r["split"], r["file"]) for r in rejected} == {
        f"box/{name}": ("train", f"box/train/{name}.off") for name in bad
    }
    reasons = {r["name"].split("/")[1]: r["reason"] for r in rejected}
    assert len(set(reasons.values())) >= 4
    assert "empty" in reasons["empty"]
    assert "finite" in reasons["nan"]
    assert str(tmp_path) not in json.dumps(rejected)


def test_same_digest_from_a_folder_an_archive_and_any_number_of_workers(meshes, expected, tmp_path):
    with tarfile.open(tmp_path / "m.tar.gz", "w:gz") as archive:
        archive.add(meshes, "some/folder")
    result = prepare(small(tmp_path / "m.tar.gz"), tmp_path / "out", workers=2)
    assert result.digest == expected
    assert not (tmp_path / "out.partial").exists()


def test_a_second_run_at_the_same_time_is_refused(meshes, tmp_path):
    (tmp_path / "out.partial").mkdir()
    with open(tmp_path / "out.partial/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BusyError, match="another run is using"):
            prepare(small(meshes), tmp_path / "out")
    prepare(small(meshes), tmp_path / "out")


def test_parts_that_the_source_does_not_know_are_rejected(tmp_path):
    class Labelled(Source):
        class_names: ClassVar = ["ball"]
        part_names: ClassVar = ["lower", "upper"]
        items: ClassVar = [Item("good", 0, "train"), Item("bad", 0, "train")]

        def load(self, item):
            mesh = creation.icosphere(1)
            return Shape(
                mesh=mesh, face_parts=(mesh.triangles_center[:, 2] > 0) * (2 if item.name == "bad" else 1)
            )

    job = ShapeJob(Labelled(), small(tmp_path).settings(Labelled()), tmp_path)
    assert job.run(0) is None
    assert job.run(1) == "parts 0 to 2, the source has 2 (from 0)"
    assert (job.done(0), job.done(1)) == (True, False)
    stored = job.read(0)
    height = stored.arrays["points"][:, 2]
    inside = np.abs(height) > 0.6  # no face has its centre on the other side
    np.testing.assert_array_equal(stored.arrays["parts"][inside], height[inside] > 0)
    assert len(stored.images["views"]) == 2


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"items": []}, "the source Boxes has no items"),
        ({"class_names": None}, "the source Boxes has no class_names"),
        ({"items": [Item("a", 1, "train")]}, "a has the label 1, but there are 1 classes"),
        (
            {"items": [Item("a", 0, "training")]},
            "a has the split 'training', must be one of train, test, val",
        ),
        ({"items": [Item("a", 0, "train")] * 2}, "two shapes of the split train are called 'a'"),
        ({"part_names": ["side"]}, "has only one of part_names and class_parts"),
        ({"part_names": ["side"], "class_parts": [[0], [0]]}, "class_parts has 2 classes, class_names 1"),
    ],
)
def test_a_source_that_breaks_its_contract_is_refused(changed, message):
    class Boxes(Source):
        def __init__(self):
            self.class_names = ["box"]
            self.items = [Item("a", 0, "train"), Item("a", 0, "test")]

        def load(self, item):
            return Shape(mesh=creation.box())

    source = Boxes()
    check_contract(source)
    vars(source).update(changed)
    with pytest.raises(SourceError, match=message):
        check_contract(source)


@pytest.mark.parametrize(
    ("given", "part_names", "reason"),
    [
        (creation.box(), None, "load of the source returned a Trimesh; it must return a Shape"),
        (Shape(mesh=creation.box()), ["side"], "it has no parts, unlike the other shapes of the source"),
    ],
    ids=["no Shape", "no parts"],
)
def test_what_load_gives_is_checked(given, part_names, reason, tmp_path):
    class Given(Source):
        items: ClassVar = [Item("a", 0, "train")]

        def load(self, item):
            return given

    source = Given()
    source.part_names = part_names
    assert ShapeJob(source, small(tmp_path).settings(source), tmp_path).run(0) == reason


def test_seed_and_settings_change_the_digest(meshes, expected, tmp_path):
    assert prepare(small(meshes, seed=1), tmp_path / "a").digest != expected
    assert prepare(small(meshes, visibility="none"), tmp_path / "b").digest != expected
    assert not PreparedSet(tmp_path / "b").has_visibility
    turned = prepare(small(meshes, up="y"), tmp_path / "c")
    assert turned.digest != expected
    assert PreparedSet(tmp_path / "c").manifest["points"]["up"] == "y"


def test_killed_run_goes_on_where_it_stopped(meshes, expected, tmp_path):
    done = run_suicide(tmp_path, meshes, 0, "box_0005")
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    finished = sorted((tmp_path / "out.partial/shapes").glob("*.npz"))
    assert 0 < len(finished) < 12
    # What is there is taken as it is: the first shape gets a mark that the finished set must have.
    with np.load(finished[0]) as stored:
        arrays = dict(stored)
    arrays["normals"] = -arrays["normals"]
    np.savez(finished[0], **arrays)
    result = prepare(small(meshes), tmp_path / "out")
    assert result.digest != expected
    marked, plain = (
        PreparedSet(path).split("train") for path in (tmp_path / "out", meshes.with_name("expected"))
    )
    np.testing.assert_array_equal(marked.normals[0], -plain.normals[0])
    np.testing.assert_array_equal(marked.normals[1:], plain.normals[1:])
    np.testing.assert_array_equal(marked.points, plain.points)


def test_a_mesh_that_kills_its_worker_is_rejected_alone(meshes, tmp_path):
    box = shutil.copytree(meshes / "box", tmp_path / "meshes/box").parent
    done = run_suicide(tmp_path, box, 1, "box_0008")
    assert done.returncode == 0, done.stderr
    manifest = PreparedSet(tmp_path / "out").manifest
    assert [(r["name"], r["reason"]) for r in manifest["rejected"]] == [("box/box_0008", KILLED)]
    assert manifest["splits"] == {"train": 6, "test": 2}


def test_finished_set_is_left_alone(meshes, expected, tmp_path):
    out = tmp_path / "out"
    prepare(small(meshes), out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    again = prepare(small(meshes), out)
    assert again.was_ready
    assert again.digest == expected
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_other_settings_are_an_error_until_overwritten(meshes, tmp_path):
    out = tmp_path / "out"
    old = prepare(small(meshes), out)
    (out / "teachers").mkdir()
    with pytest.raises(PreparationError, match=r"(?s)image_size: 16 there, 20 asked for.*--overwrite"):
        prepare(small(meshes, image_size=20), out)
    other = shutil.copytree(meshes, tmp_path / "other")
    (other / "box/train/box_0001.off").unlink()
    with pytest.raises(PreparationError, match="source_files: other files"):
        prepare(small(other), out)
    assert PreparedSet(out).digest == old.digest
    new = prepare(small(meshes, image_size=20), out, overwrite=True)
    assert new.digest != old.digest
    assert PreparedSet(out).digest == new.digest
    assert os.listdir(tmp_path).count("out.partial") == 0


def test_unfinished_work_with_other_settings(meshes, expected, tmp_path):
    run_suicide(tmp_path, meshes, 0, "box_0002")
    with pytest.raises(PreparationError, match=r"(?s)unfinished work.*seed: 0 there, 7 asked for"):
        prepare(small(meshes, seed=7), tmp_path / "out")
    prepare(small(meshes, seed=7), tmp_path / "out", overwrite=True)
    assert PreparedSet(tmp_path / "out").manifest["points"]["seed"] == 7


def test_a_split_without_a_usable_shape_fails_and_the_old_set_stays(meshes, tmp_path):
    out = tmp_path / "out"
    old = prepare(small(meshes), out)
    source = shutil.copytree(meshes, tmp_path / "meshes")
    for path in source.glob("*/test/*.off"):
        path.write_text("OFF\n")
    with pytest.raises(PreparationError, match=r"(?s)no usable shape in the split test.*test/box/box_0007: "):
        prepare(small(source), out, overwrite=True)
    assert PreparedSet(out).digest == old.digest


def test_a_folder_that_is_no_prepared_set_is_never_replaced(meshes, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").write_text("ten years")
    for overwrite in (False, True):
        with pytest.raises(PreparationError, match="not a prepared set"):
            prepare(small(meshes), tmp_path / "out", overwrite=overwrite)
    assert (tmp_path / "out/thesis.txt").read_text() == "ten years"
