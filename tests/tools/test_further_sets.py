"""cache_teacher.py --frozen with --further: one teacher, asked about sets whose labels it does not see."""

import json
import shutil

import numpy as np
import pytest
import torch

from pointmcd.commands import cache_teacher, prepare_data
from pointmcd.datasets.joined_shapes import JoinedShapes
from pointmcd.datasets.manifest import manifest_digest
from pointmcd.datasets.preparation.job import Request, prepare
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.datasets.teacher_cache import TeacherCache
from pointmcd.geometry import CameraRig


@pytest.fixture(scope="module")
def prepared_again(tiny_meshes, tmp_path_factory):
    """The shapes of ``root`` with the same views, and fewer points: another set."""
    out, rig = tmp_path_factory.mktemp("again") / "set", CameraRig((0.0, 90.0, 180.0, 270.0), (30.0,) * 4)
    prepare(Request("mesh-folder", {"source": tiny_meshes}, num_points=64, rig=rig, image_size=32), out)
    return out


@pytest.fixture
def other(prepared_again, tmp_path):
    return shutil.copytree(prepared_again, tmp_path / "other")


def test_a_further_set_is_asked_without_its_labels(root, run, other):
    home = run("--further", other).split("train").rows(np.arange(24))
    away = TeacherCache(other, "frozen")
    rows = away.split("train").rows(np.arange(24))
    torch.testing.assert_close(rows["descriptor"], home["descriptor"])
    assert not torch.allclose(rows["logits"], home["logits"])  # nobody's label was left out for it
    assert away.meta["labels"] == TeacherCache(root, "frozen").meta["labels"]


@pytest.fixture
def of_other_classes(other):
    manifest = json.loads((other / "manifest.json").read_text())
    del manifest["manifest_sha256"]
    manifest["class_names"] = ["bench", "bowl", "cup", "desk"]
    (other / "manifest.json").write_text(json.dumps(manifest | {"digest": manifest_digest(manifest)}))
    return other


def test_of_a_set_of_other_classes_it_says_its_own(root, run, of_other_classes):
    """A student of that set would take them for its classes; beside the first set it has none of its own."""
    names = run("--further", of_other_classes).meta["class_names"]
    away = TeacherCache(of_other_classes, "frozen")
    assert away.meta["class_names"] == names == PreparedSet(root).class_names
    assert away.meta["accuracy"] == {}
    options = {"num_points": 1, "teacher": "frozen"}
    with pytest.raises(ValueError, match=r"says the classes .*, but the set has bench, bowl, cup, desk"):
        PreparedShapes(str(of_other_classes), "train", **options)
    assert len(JoinedShapes(str(root), "train", [str(of_other_classes)], **options)) == 48
    for folder in (root, of_other_classes):
        shutil.copytree(folder / "teachers/frozen", folder / "teachers/again")
        words = ["--average", "frozen", "again", "--data", str(folder), "--name", "both"]
        cache_teacher.main(words)
    assert TeacherCache(of_other_classes, "both").meta["accuracy"] == {}
    both = JoinedShapes(str(root), "train", [str(of_other_classes)], num_points=1, teacher="both")
    assert both.sets[0].teacher.cache.meta["fitted"] == both.teacher.cache.meta["fitted"]


@pytest.mark.parametrize("labels", ["100", "0"])
def test_sets_are_spoken_of_by_one_teacher(root, run, other, labels):
    run("--further", other, "--labels", labels)
    options = {"num_points": 1, "teacher": "frozen"}
    assert len(JoinedShapes(str(root), "train", [str(other)], **options)) == 48
    run("--labels", labels)  # the same to the last bit
    assert len(JoinedShapes(str(root), "train", [str(other)], **options)) == 48
    run("--labels", labels, "--input-size", "32")
    with pytest.raises(ValueError, match="was fitted otherwise than"):
        JoinedShapes(str(root), "train", [str(other)], **options)


def test_descriptors_need_no_label(root, run, capsys, other):
    """The same descriptors, and nothing that a label could be in."""
    known = {split: run().split(split).rows(np.arange(12)) for split in ("train", "test")}
    capsys.readouterr()
    cache = run("--labels", "0", "--further", other)
    said = capsys.readouterr().out
    assert "no label is looked at" in said
    assert "The teacher" not in said
    assert said.count("wrote") == 2
    assert "labels" not in cache.meta
    assert cache.meta["accuracy"] == {}
    for split, rows in known.items():
        for found in (cache, TeacherCache(other, "frozen")):
            alone = found.split(split).rows(np.arange(12))
            assert set(alone) == {"view_descriptors", "descriptor"}
            for name, value in alone.items():
                assert torch.equal(value, rows[name]), name


def test_a_further_set_is_another_one(root, run, tmp_path):
    """Its cache would take the place of the one with folds, and tell each labelled shape its own answer."""
    before = run().split("train").rows(np.arange(24))["logits"]
    shutil.copytree(root, tmp_path / "copy")
    (tmp_path / "link").symlink_to(root)
    for same in (root, tmp_path / "copy", tmp_path / "link"):
        for labels in ("100", "0"):
            with pytest.raises(SystemExit, match=f"--further {same} holds the same as {root}; leave it out"):
                run("--further", same, "--labels", labels)
    assert torch.equal(TeacherCache(root, "frozen").split("train").rows(np.arange(24))["logits"], before)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"up": "y"}, "was prepared with up y, .*set with z; prepare both alike"),
        (
            {"rig": CameraRig((10.0, 100.0, 190.0, 280.0), (30.0,) * 4)},
            "views from other places",
        ),
        (
            {"num_points": 128, "image_size": 16},
            "holds the shapes of .*set, prepared otherwise; leave",
        ),
    ],
    ids=["up", "rig", "the same"],
)
def test_sets_prepared_otherwise_are_refused(root, run, tiny_meshes, tmp_path, changes, message):
    rig = CameraRig((0.0, 90.0, 180.0, 270.0), (30.0,) * 4)
    options = {"num_points": 64, "rig": rig, "image_size": 32, **changes}
    prepare(Request("mesh-folder", {"source": tiny_meshes}, **options), tmp_path / "away")
    for labels in ("100", "0"):
        with pytest.raises(SystemExit, match=message):
            run("--further", tmp_path / "away", "--labels", labels)
    assert not (root / "trunks").exists()


def test_sets_of_other_views_are_refused_before_any_work(root, run, tiny_meshes, tmp_path):
    bare = tmp_path / "bare"
    words = [
        "--source",
        str(tiny_meshes),
        "--out",
        str(bare),
        "--points",
        "16",
        "--no-views",
        "--workers",
        "0",
    ]
    prepare_data.main(["mesh-folder", *words])
    with pytest.raises(
        SystemExit, match=r"bare was prepared without views; prepare it again without --no-views"
    ):
        run("--further", bare)
    words[3:] = [str(tmp_path / "two"), "--points", "16", "--azimuth", "0", "90", "--elevation", "30"]
    prepare_data.main(["mesh-folder", *words, "--image-size", "16", "--workers", "0"])
    with pytest.raises(
        SystemExit, match=r"two has 2 views of each shape, .*set has 4; prepare it with the same"
    ):
        run("--further", tmp_path / "two")
    assert not (root / "teachers").exists()
    assert not (bare / "trunks").exists()
