"""Sources of one's own: what counts as another request, files that they read, what a mistake says."""

import json
from pathlib import Path

import numpy as np
import pytest

from pointmcd.commands import prepare_data
from pointmcd.datasets.preparation.archive import fingerprint
from pointmcd.datasets.preparation.job import PreparationError, Request, prepare
from pointmcd.datasets.preparation.sources import Item, Shape, Source, SourceError
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.geometry import CameraRig
from pointmcd.registry import SOURCES

SMALL = {"num_points": 16, "rig": CameraRig((0.0, 180.0), (30.0, 30.0)), "image_size": 16}


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """An NPZ file of the example ``my-scans``: two classes of two clouds."""
    rng = np.random.default_rng(0)
    clouds = {f"{name}/{number}": rng.normal(size=(40, 3)) for name in ("box", "cone") for number in "01"}
    np.savez(tmp_path / "scans.npz", **clouds)
    return tmp_path / "scans.npz"


@pytest.fixture
def example(forget_examples, tmp_path, scans):
    """Prepare the example; return the exit code."""

    def run(*more: object) -> int:
        words = ["--imports", "my_file_source", "my-scans", "--source", scans, "--points", "16"]
        words += ["--image-size", "16", "--workers", "0", "--out", tmp_path / "out", *more]
        return prepare_data.main([str(word) for word in words])

    return run


class Clouds(Source):
    """Two clouds, one in each class."""

    surfaces, normals = False, False

    def __init__(self, source: Path | None = None, label_file: object = None) -> None:
        self.given = source
        self.class_names = ["a", "b"]
        self.items = [Item(name, label, "train") for label, name in enumerate(self.class_names)]

    def load(self, item: Item) -> Shape:
        return Shape(points=np.random.default_rng(item.label).normal(size=(30, 3)).astype(np.float32))


@pytest.fixture
def own():
    """Register a source as ``own``."""
    yield lambda kind: SOURCES.register_module("own", force=True, module=kind)
    SOURCES.module_dict.pop("own", None)


def request(**options: object) -> Request:
    return Request("own", options, **SMALL)


def test_the_example_reads_one_file_and_every_file_counts(example, scans, tmp_path, capsys):
    assert example() == 0
    prepared = PreparedSet(tmp_path / "out")
    assert prepared.class_names == ["box", "cone"]
    assert prepared.manifest["splits"] == {"train": 4}
    assert prepared.manifest["visibility"] == "hpr"
    names = tmp_path / "names.txt"
    names.write_text("box/1\ncone/0\n")
    with pytest.raises(SystemExit, match=r"(?s)with other settings:\n  test_names: other files"):
        example("--test-names", names)
    assert example("--test-names", names, "--overwrite") == 0
    assert PreparedSet(tmp_path / "out").manifest["splits"] == {"train": 2, "test": 2}
    capsys.readouterr()
    (tmp_path / "elsewhere").mkdir()
    assert example("--test-names", names.rename(tmp_path / "elsewhere/names.txt")) == 0
    assert "already prepared with these settings" in capsys.readouterr().out
    (tmp_path / "elsewhere/names.txt").write_text("box/0\ncone/0\n")
    with pytest.raises(SystemExit, match="test_names: other files"):
        example("--test-names", tmp_path / "elsewhere/names.txt")
    with pytest.raises(SystemExit, match="test_names: other files"):
        example()


def test_lists_of_paths_and_folders_count_by_their_content(own, tmp_path):
    own(Clouds)
    (tmp_path / "folder").mkdir()
    (tmp_path / "one.txt").write_text("1")
    given = [tmp_path / "one.txt", tmp_path / "folder"]
    before = request(label_file=given).record()
    assert before["label_file"] == [fingerprint(path) for path in given]
    assert json.loads(json.dumps(before)) == before
    (tmp_path / "folder/new.txt").write_text("2")
    assert request(label_file=given).record() != before
    assert request(label_file=tmp_path / "nowhere").record()["label_file"] is None


def test_a_set_of_before_paths_counted_is_the_same(own, tmp_path):
    own(Clouds)
    (tmp_path / "labels.txt").write_text("1")
    given = request(label_file=tmp_path / "labels.txt")
    prepare(given, tmp_path / "out")
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    del manifest["request"]["label_file"], manifest["manifest_sha256"]
    (tmp_path / "out/manifest.json").write_text(json.dumps(manifest))
    result = prepare(given, tmp_path / "out")
    assert result is not None
    assert result.was_ready


def test_the_path_of_a_source_may_be_text(own, tmp_path):
    own(Clouds)
    (tmp_path / "shapes").mkdir()
    text, path = request(source=str(tmp_path / "shapes")), request(source=tmp_path / "shapes")
    assert text.path == path.path
    assert text.record() == path.record()


def test_a_file_is_read_by_the_source_that_says_so(own, tmp_path):
    class Reads(Clouds):
        files = (".npz", ".zip")

    file = tmp_path / "all.npz"
    file.write_bytes(b"1")
    own(Clouds)
    with pytest.raises(SourceError, match=r"a source that reads such a file itself says files = \('.npz',\)"):
        prepare(request(source=file), tmp_path / "out")
    own(Reads)
    assert prepare(request(source=file), tmp_path / "out") is not None
    assert request(source=file.rename(tmp_path / "all.zip")).archive is None  # it reads archives itself
    with pytest.raises(SourceError, match=r"the source reads \.npz, \.zip itself"):
        prepare(request(source=Path(__file__)), tmp_path / "other")
    with pytest.raises(SourceError, match=r"gone\.npz does not exist"):
        prepare(request(source=tmp_path / "gone.npz"), tmp_path / "other")


def test_a_source_that_keeps_a_file_open_is_refused(own, tmp_path):
    class Holds(Clouds):
        def __init__(self):
            super().__init__()
            self.file = open(__file__)  # noqa: SIM115

    own(Holds)
    with pytest.raises(
        SourceError, match=r"^the source Holds cannot be sent to worker processes \(.*\): it keeps no "
    ):
        prepare(request(), tmp_path / "out", workers=1)


@pytest.mark.parametrize("flags", [{}, {"surfaces": False}, {"normals": False}], ids=str)
def test_clouds_without_normals_are_not_tested_by_rays_unless_asked(own, flags, tmp_path):
    own(type("Forgets", (Clouds,), {"surfaces": True, "normals": True} | flags))
    with pytest.raises(SourceError, match="the source Forgets gives clouds without normals; it says so by "):
        prepare(request(), tmp_path / "out")
    own(Clouds)
    prepare(request(), tmp_path / "out")
    assert PreparedSet(tmp_path / "out").manifest["visibility"] == "hpr"
    with pytest.raises(PreparationError, match="visibility"):
        prepare(Request("own", {}, visibility="ray", **SMALL), tmp_path / "out")
    prepare(Request("own", {}, visibility="ray", **SMALL), tmp_path / "out", overwrite=True)
    assert PreparedSet(tmp_path / "out").manifest["visibility"] == "ray"


def test_a_file_that_changes_while_it_is_read_makes_no_set(own, tmp_path):
    """Nor do the shapes that were read of it go into the next one."""
    file, out = tmp_path / "clouds.mine", tmp_path / "out"
    file.write_text("old")

    class Changing(Clouds):
        files = (".mine",)

        def load(self, item: Item) -> Shape:
            if item.name == "b" and file.read_text() == "old":
                file.write_text("new")
            shift = {"old": 0.0, "new": 1.0}[file.read_text()]
            points = np.random.default_rng(item.label).normal(size=(30, 3)) * [1, 1, 1 + shift]
            return Shape(points=points.astype(np.float32))

    own(Changing)
    with pytest.raises(
        PreparationError, match=r"changed while it was prepared:\n  source_files: other files"
    ):
        prepare(request(source=file), out, workers=0)
    assert not out.exists()
    prepare(request(source=file), out, workers=0)
    fresh = tmp_path / "fresh"
    prepare(request(source=file), fresh, workers=0)
    assert PreparedSet(out).digest == PreparedSet(fresh).digest
