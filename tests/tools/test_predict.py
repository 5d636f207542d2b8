"""``pointmcd predict``: any file, mixed; what it writes; what it does with bad ones."""

import csv
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from trimesh import creation

from pointmcd.apis import load_student
from pointmcd.apis.predictions import in_own_coordinates
from pointmcd.apis.student_file import FORMAT
from pointmcd.commands import predict
from pointmcd.datasets.preparation.sources import Shape
from pointmcd.geometry import load_cloud, load_mesh, normalize, to_z_up
from pointmcd.models import PointModel

CLASSES = ["box", "cone", "torus"]
PARTS = ["box-low", "box-high", "cone-all"]


def write_student(path, head, **more):
    """A network with random weights, exported."""
    torch.manual_seed(0)
    backbone = {"type": "PointNet"}
    network = PointModel(backbone, head).eval()
    exported = {
        "format": FORMAT,
        "model": {"type": "PointModel", "backbone": backbone, "head": head},
        "state_dict": network.state_dict(),
        "class_names": CLASSES,
        "num_points": 64,
        "points": {"num_points": 64},
        **more,
    }
    torch.save(exported, path)
    return path


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    head = {"type": "ClassificationHead", "num_classes": 3}
    return write_student(tmp_path_factory.mktemp("student") / "classes.pth", head)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    head = {"type": "PartSegmentationHead", "num_classes": 3, "num_parts": 3}
    parts = {"part_names": PARTS, "class_parts": [[0, 1], [2], [2]]}
    return write_student(tmp_path_factory.mktemp("student") / "parts.pth", head, **parts)


@pytest.fixture
def shapes(tmp_path):
    """A folder with a mesh and a cloud, a glob of two clouds, and an archive with a mesh."""
    rng = np.random.default_rng(0)
    (tmp_path / "in/box").mkdir(parents=True)
    creation.box((1, 2, 3)).export(tmp_path / "in/box/a [1].off")
    np.savetxt(tmp_path / "in/b.xyz", rng.normal(size=(90, 3)))
    (tmp_path / "in/notes.md").write_text("no shape")
    for name in "cd":
        np.save(tmp_path / f"{name}.npy", rng.normal(size=(80, 3)))
    creation.icosphere(1).export(tmp_path / "e.stl")
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(tmp_path / "e.stl", "cone/e.stl")
    return tmp_path


def test_files_folders_globs_and_archives(classifier, shapes, capsys):
    given = [
        shapes / "in",
        f"{shapes}/?.npy",
        shapes / "more.zip",
        shapes / "in/b.xyz",
    ]  # the last one is in the first
    words = [str(classifier), *map(str, given), "--batch-size", "2", "--top", "2", "--device", "cpu"]
    words += ["--csv", str(shapes / "out/a.csv"), "--json", str(shapes / "out/a.json")]
    words += ["--embeddings", str(shapes / "out/a.npy")]
    assert predict.main(words) == 0
    names = ["in/b.xyz", "in/box/a [1].off", "c.npy", "d.npy", "more.zip/cone/e.stl"]
    paths = [str(shapes / name) for name in names]
    read = json.loads((shapes / "out/a.json").read_text())
    assert [row["file"] for row in read["shapes"]] == paths
    assert (read["rejected"], read["student"]["classes"]) == ([], CLASSES)
    student = load_student(classifier)
    for row, path in zip(read["shapes"], paths, strict=True):
        path = shapes / "e.stl" if "more.zip" in path else path
        expected = student.classify(path, 2)
        assert [one["class"] for one in row["classes"]] == [one.name for one in expected]
        assert [one["probability"] for one in row["classes"]] == pytest.approx(
            [p for _, p in expected], abs=1e-5
        )
    table = list(csv.DictReader((shapes / "out/a.csv").open(newline="")))
    assert list(table[0]) == ["file", "class_1", "probability_1", "class_2", "probability_2", "rejected"]
    assert [row["class_1"] for row in table] == [row["classes"][0]["class"] for row in read["shapes"]]
    embeddings = np.load(shapes / "out/a.npy")
    np.testing.assert_allclose(embeddings[2], student.embed(shapes / "c.npy"), atol=1e-4)
    assert json.loads((shapes / "out/a.names.json").read_text()) == paths
    assert capsys.readouterr().out.startswith("5 shapes; wrote ")
    assert predict.main([str(classifier), paths[1], "--top", "1", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.startswith(f"{paths[1]}: {read['shapes'][1]['classes'][0]['class']} ")


def test_bad_files_are_named_and_the_others_written(classifier, shapes, capsys):
    (shapes / "in/bad.off").write_text("OFF\n1 1\n")
    (shapes / "broken.zip").write_bytes(b"PK no archive")
    (shapes / "out.csv").write_text("the old one")
    (shapes / "empty").mkdir()
    words = [str(classifier), str(shapes / "in"), str(shapes / "broken.zip"), str(shapes / "none*.ply")]
    words.append(str(shapes / "empty"))
    assert predict.main([*words, str(shapes / "in/notes.md"), "--csv", str(shapes / "out.csv")]) == 3
    table = list(csv.DictReader((shapes / "out.csv").open(newline="")))
    assert [row["rejected"] == "" for row in table] == [True, True, *[False] * 5]
    reasons = {row["file"].rpartition("/")[2]: row["rejected"] for row in table}
    assert reasons["bad.off"]
    assert reasons["broken.zip"].startswith("cannot be unpacked: ")
    assert reasons["none*.ply"] == "there is no file of that name"
    assert reasons["empty"].startswith("holds no shapes (.off, ")
    assert "is not a supported file" in reasons["notes.md"]
    shown = capsys.readouterr().err
    for name in ("bad.off", "broken.zip", "none*.ply"):
        assert f"{name}: " in shown
    with pytest.raises(SystemExit, match="none of 1 shape can be used"):
        predict.main([str(classifier), str(shapes / "in/bad.off"), "--csv", str(shapes / "out.csv")])
    assert "a [1].off" in (shapes / "out.csv").read_text()  # what was there is there


def test_archives_in_folders_are_read_and_other_files_said(classifier, shapes, capsys):
    shutil.move(shapes / "more.zip", shapes / "in/more.zip")
    for name in ("a.step", "b.STEP", "box/c.fbx", "box/of_c.mtl", ".hidden.step"):
        (shapes / "in" / name).write_text("")
    with zipfile.ZipFile(shapes / "in/only.zip", "w") as archive:
        archive.write(shapes / "in/more.zip", "inner.zip")
    (shapes / "in/bad.zip").write_bytes(b"")
    assert predict.main([str(classifier), str(shapes / "in"), "--json", str(shapes / "a.json")]) == 3
    read = json.loads((shapes / "a.json").read_text())
    names = ["b.xyz", "box/a [1].off", "more.zip/cone/e.stl"]
    assert [row["file"] for row in read["shapes"]] == [str(shapes / "in" / name) for name in names]
    rejected = {Path(row["file"]).name: row["reason"] for row in read["rejected"]}
    assert rejected["only.zip"].startswith("holds no shapes")
    assert list(rejected) == ["bad.zip", "only.zip"]
    shown = capsys.readouterr().err
    assert "5 files of formats that are not read are passed over (2 .step, 1 .fbx, 1 .md, 1 .zip): " in shown
    assert str(shapes / "in/a.step") in shown


def test_parts_are_written_as_the_shapes_lie_in_what_was_given(segmenter, shapes, monkeypatch, capsys):
    creation.box().export(shapes / "in/box/a [1].obj")
    (shapes / "other").mkdir()
    shutil.copy(shapes / "e.stl", shapes / "other/e.stl")
    monkeypatch.chdir(shapes / "other")
    inputs = [shapes / "in", shapes / "more.zip", shapes / "e.stl", "../other/e.stl", "../c.npy"]
    words = [str(segmenter), *map(str, inputs), "--category", "box", "--parts", str(shapes / "out")]
    assert predict.main(words) == 0
    places = ["b", "box/a [1]", "box/a [1]-2", "c", "cone/e", "e", "e-2"]
    found = {path.relative_to(shapes / "out").as_posix() for path in (shapes / "out").rglob("*.*")}
    assert found == {f"{place}.parts.{suffix}" for place in places for suffix in ("ply", "csv")}
    assert capsys.readouterr().out.endswith(f"7 shapes; wrote the parts of 7 in {shapes / 'out'}\n")


def test_outputs_that_cannot_be_written_are_refused_before_the_student_is_read(tmp_path):
    (tmp_path / "file").write_text("")
    for option, name in (
        ("--csv", "a.csv"),
        ("--json", "a.json"),
        ("--embeddings", "a.npy"),
        ("--parts", "out"),
    ):
        asked = tmp_path / "file" / name
        with pytest.raises(SystemExit, match=rf"{asked}\S*: cannot be written \(") as refused:
            predict.main(["no student.pth", "x.off", option, str(asked)])
        assert ".tmp" not in str(refused.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["in", "--csv", "in/b.xyz"], "in/b.xyz is what is read"),
        (["*.npy", "--embeddings", "c.npy"], "c.npy is what is read"),
        (["in", "--csv", "t", "--json", "./t"], "t would be written twice"),
        (["in", "--json", "e.names.json", "--embeddings", "e.npy"], "e.names.json would be written twice"),
        (["in", "--parts", "in/parts"], "--parts in/parts lies in a folder that is read"),
        (["in", "--parts", "in"], "--parts in lies in a folder that is read"),
    ],
)
def test_nothing_that_is_read_or_written_is_written_over(
    classifier, segmenter, shapes, monkeypatch, words, message
):
    monkeypatch.chdir(shapes)
    before = {path: path.read_bytes() for path in shapes.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit, match=message):
        predict.main([str(segmenter if "--parts" in words else classifier), *words])
    assert {path: path.read_bytes() for path in shapes.rglob("*") if path.is_file()} == before


def test_files_of_a_students_folder_are_not_written_over(tmp_path):
    (tmp_path / "student").mkdir()
    (tmp_path / "student/config.json").write_text("{}")
    with pytest.raises(SystemExit, match=r"config\.json is what is read"):
        predict.main([str(tmp_path / "student"), "x.off", "--json", str(tmp_path / "student/config.json")])


def test_parts_lie_on_the_shape_as_it_was_given(segmenter, shapes):
    cloud = np.random.default_rng(1).normal(size=(300, 3)) * 7 + (500_000, 0, 20)
    np.save(shapes / "in/box/far.npy", cloud)
    (shapes / "in/b.xyz").unlink()
    words = [
        str(segmenter),
        str(shapes / "in"),
        "--parts",
        str(shapes / "out"),
        "--json",
        str(shapes / "a.json"),
    ]
    assert predict.main(words) == 0
    rows = json.loads((shapes / "a.json").read_text())["shapes"]
    assert [(row["category"], list(row["parts"])) for row in rows] == [("box", PARTS[:2])] * 2
    files = {row["file"].rpartition("/")[2]: row["files"] for row in rows}
    written = load_cloud(Path(files["far.npy"][0]))
    np.testing.assert_array_equal(written.points, cloud)
    segmented = load_student(segmenter).segment(shapes / "in/box/far.npy", "box", all_points=True)
    np.testing.assert_array_equal(written.parts, segmented.parts)
    assert len(np.unique(written.colors, axis=0)) == len(np.unique(written.parts))
    table = list(csv.reader(Path(files["far.npy"][1]).read_text().splitlines()))
    assert table[0] == ["x", "y", "z", "part", "name"]
    np.testing.assert_array_equal(np.array([row[:3] for row in table[1:]], float), cloud)
    assert table[1][4] == PARTS[int(table[1][3])]
    on_mesh = load_cloud(Path(files["a [1].off"][0])).points
    outside = np.abs(on_mesh) - np.array([0.5, 1, 1.5])
    np.testing.assert_allclose(outside.max(1), 0, atol=1e-6)


@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_points_of_a_mesh_come_back_where_they_were(tmp_path, up):
    creation.annulus(1, 2, 3).export(tmp_path / "a.off")
    mesh = load_mesh(tmp_path / "a.off")
    vertices = np.asarray(mesh.vertices) + 5
    mesh.vertices = vertices
    seen = normalize(to_z_up(vertices, up))[0]
    np.testing.assert_allclose(in_own_coordinates(Shape(mesh=mesh), seen, up)[0], vertices, atol=1e-9)


def test_what_a_student_cannot_say_is_refused_before_it_reads(classifier, segmenter, shapes, tmp_path):
    headless = write_student(tmp_path / "none.pth", None)
    onnx = tmp_path / "student.onnx"
    onnx.write_bytes(b"")
    for words, message in (
        ([classifier, "x.off", "--parts", "out"], "does not segment parts: leave out --parts"),
        ([segmenter, "x.off", "--category", "bux"], "did you mean 'box'"),
        ([segmenter, "x.off", "--category", "hat"], "known: box, cone, torus"),
        ([onnx, "x.off"], "is an ONNX file, .*; give the student itself"),
        ([headless, "x.off"], "give --embeddings"),
        ([classifier, "x.off", "--top", "0"], "--top is 0, must be at least 1"),
        ([classifier, "x.off", "--embeddings", "a.txt"], r"saved as \.npy"),
        ([classifier, "x.off", "--csv", str(tmp_path)], "is a folder; name a file in it"),
        ([classifier, "x.off", "--columns", "x y"], "have no z"),
        ([classifier, "x.off", "--device", "gpu"], "device gpu cannot be used"),
    ):
        with pytest.raises(SystemExit, match=message):
            predict.main([str(word) for word in words])
    shutil.copy(shapes / "in/b.xyz", shapes / "free.xyz")
    with pytest.raises(SystemExit, match="none of 1 shape"):
        predict.main([str(segmenter), str(shapes / "free.xyz")])


def test_classify_takes_tensors_lists_batches_and_folders(classifier, shapes):
    student = load_student(classifier)
    batch = np.random.default_rng(2).normal(size=(3, 70, 3))
    one = student.classify(batch[1], 3)
    for many in (batch, torch.from_numpy(batch), list(batch), batch.tolist()):
        said = student.classify(many, 3, batch_size=2)
        assert len(said) == 3
        assert [name for name, _ in said[1]] == [name for name, _ in one]
        assert [p for _, p in said[1]] == pytest.approx([p for _, p in one], abs=1e-5)
    assert student.classify(torch.from_numpy(batch[1]), 3) == one == student.classify(batch[1].tolist(), 3)
    (shapes / "in/notes.md").touch()
    with pytest.warns(UserWarning, match=r"in: 1 file of a format .* passed over \(1 .md\): notes.md"):
        folder = student.classify(shapes / "in")
    assert list(folder) == ["b.xyz", "box/a [1].off"]
    assert folder["b.xyz"][0].name == student.classify(shapes / "in/b.xyz")[0].name
    assert student.classify([]) == []
    batch[2, 5] = np.nan
    with pytest.raises(ValueError, match=r"shape 2: 1 of 70 rows are not finite"):
        student.classify(batch)
    (shapes / "in/bad.off").write_text("no mesh")
    with pytest.raises(ValueError, match=r"bad\.off"):
        student.classify(shapes / "in")
    with pytest.raises(ValueError, match="a list of shapes holds"):
        student.classify([[1, 2], [3]])


def test_a_prepared_set_is_no_folder_of_shapes(classifier, tiny_set):
    with pytest.raises(SystemExit, match=r"is a prepared set, .*; pointmcd test CONFIG CHECKPOINT"):
        predict.main([str(classifier), str(tiny_set)])
