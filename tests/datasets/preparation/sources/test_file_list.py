"""Lists of files with their labels: what a row may say, and what the shapes of a list are."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from pointmcd.commands import prepare_data
from pointmcd.datasets.preparation.request import Request
from pointmcd.datasets.preparation.shards import Shard
from pointmcd.datasets.preparation.sources import SourceError
from pointmcd.datasets.preparation.sources.file_list import CloudList, MeshList
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.geometry import MeshError

SMALL = ["--no-views", "--points", "32", "--workers", "0"]


@pytest.fixture
def rows(tiny_meshes: Path) -> list[dict[str, str]]:
    """A row for each of ``tiny_meshes``, with its class, split and name as a folder gives them."""
    return [
        {
            "path": path.relative_to(tiny_meshes).as_posix(),
            "label": path.parts[-3],
            "split": path.parts[-2],
            "name": f"{path.parts[-3]}/{path.stem}",
        }
        for path in sorted(tiny_meshes.rglob("*.off"))
    ]


def write_csv(path: Path, rows: list[dict[str, str]], columns: str = "path,label,split,name") -> Path:
    lines = [",".join(str(row.get(column) or "") for column in columns.split(",")) for row in rows]
    path.write_text("\n".join([columns, *lines]) + "\n", "utf-8")
    return path


def listed(source: Path, root: Path, **options) -> list[tuple[str, ...]]:
    found = MeshList(source, root, **options)
    return [(item.file, found.class_names[item.label], item.split, item.name) for item in found.items]


def test_a_list_of_a_folder_makes_the_set_of_the_folder(tiny_meshes, rows, tmp_path):
    source = write_csv(tmp_path / "list.csv", rows[::-1])
    (tmp_path / "list.json").write_text(json.dumps(rows))
    options = ["--root", str(tiny_meshes), *SMALL]
    for suffix in ("csv", "json"):
        asked = ["mesh-list", "--source", f"{tmp_path}/list.{suffix}", *options]
        assert prepare_data.main([*asked, "--out", str(tmp_path / suffix)]) == 0
    asked = ["mesh-folder", "--source", str(tiny_meshes), *SMALL, "--out", str(tmp_path / "folder")]
    assert prepare_data.main(asked) == 0
    folder = PreparedSet(tmp_path / "folder").manifest["files"]
    assert PreparedSet(tmp_path / "csv").manifest["files"] == folder
    assert PreparedSet(tmp_path / "json").manifest["files"] == folder
    assert str(tmp_path) not in json.dumps(PreparedSet(tmp_path / "csv").manifest["request"])
    assert listed(source, tiny_meshes) == [tuple(row.values()) for row in sorted_rows(rows)]


def sorted_rows(rows):
    return sorted(rows, key=lambda row: (row["split"] == "test", row["label"], row["name"]))


def test_paths_are_relative_to_the_list_and_names_are_the_paths(tmp_path):
    (tmp_path / "a").mkdir()
    source = write_csv(
        tmp_path / "a/list.csv", [{"path": "x/b.v2.obj", "label": "cup"}], "path,label,license"
    )
    found = MeshList(source)
    assert (found.root, found.items[0].name, found.items[0].split) == (tmp_path / "a", "x/b.v2", "train")
    with pytest.raises(MeshError, match="listed, but the file is missing"):
        found.load(found.items[0])


def test_rows_without_labels_are_said_or_taken(rows, tmp_path, capsys):
    rows = sorted_rows(rows)
    for row in rows[:3]:
        row["label"] = ""
    rows[3]["label"], rows[3]["split"] = None, "test"
    source = write_csv(tmp_path / "list.csv", rows)
    assert len(listed(source, tmp_path)) == 32
    assert "4 row(s) without a label are left out; --unlabelled" in capsys.readouterr().err
    bare = listed(source, tmp_path, unlabelled="bare")
    assert [(file, label) for file, label, *_ in bare] == [(row["path"], "unlabelled") for row in rows[:3]]
    assert "1 row(s) of other splits than train" in capsys.readouterr().err
    assert len(listed(source, tmp_path, unlabelled="all")) == 23
    for row in rows:
        row["label"] = ""
    with pytest.raises(SourceError, match=r"no row of .* has a label; --unlabelled"):
        MeshList(write_csv(source, rows))
    for row in rows:
        row["label"] = "x"
    with pytest.raises(SourceError, match="--unlabelled all takes those too"):
        MeshList(write_csv(source, rows), unlabelled="bare")


def test_a_test_split_is_drawn_of_each_class(rows, tmp_path):
    source = write_csv(tmp_path / "list.csv", rows, "path,label")
    found = listed(source, tmp_path, test_fraction=0.3)
    for name in ("box", "cone", "cylinder", "torus"):
        assert sum(label == name and split == "test" for _, label, split, _ in found) == 3
    assert found == listed(source, tmp_path, test_fraction=0.3)
    assert found != listed(source, tmp_path, test_fraction=0.3, seed=1)
    with pytest.raises(SourceError, match="has splits: leave out --test-fraction"):
        listed(write_csv(source, rows), tmp_path, test_fraction=0.3)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "l.csv",
            "file,label\na.off,x\n",
            "row 1 has no path: a list has the columns path, label",
        ),
        ("l.csv", "path,label\na.off,x\n,y\n", "row 2 has no path"),
        ("l.csv", "path,label\na.off,x,y\n", "row 1 has more columns than the header names"),
        ("l.csv", "path,label\n/a.off,x\n", "row 1: /a.off leaves the folder of the list; write .* --root"),
        ("l.csv", "path,label\n../a.off,x\n", "row 1: ../a.off leaves the folder"),
        ("l.csv", "path,label,split\na.off,x,dev\n", "row 1: the split is 'dev'; there are train, val, test"),
        ("l.csv", "path,label\na.off,x\na.obj,x\n", "a.off and a.obj have the same name"),
        ("l.csv", "path,label\na.off,x\nb.off,x\na.off,x\n", "l.csv lists a.off twice in train"),
        ("l.csv", "path,label,split\na.off,x,train\na.off,x,test\n", "lists a.off for train and for test"),
        ("l.csv", "path,label,name\na.off,x,one\na.off,y,two\n", "lists a.off as x and as y"),
        ("l.csv", "path,Label,label\na.off,x,y\n", "l.csv has two columns label; rename one"),
        ("l.csv", "path,label\na\0.off,x\n", r"row 1: 'a\\x00.off' holds a character"),
        (
            "l.json",
            '[{"path": "a.off", "label": "\\ud800"}]',
            "row 1: 'a.off' holds a character, here or in its",
        ),
        ("l.csv", "path,label\n", "holds no rows"),
        ("l.csv", 'path,label\na.off,"x', "cannot be read: unexpected end of data"),
        ("l.json", "{}", "holds no rows"),
        ("l.json", "[", "cannot be read: "),
        ("l.json", "[" * 100_000, "cannot be read: "),
        ("l.json", '[["a.off"]]', "row 1 has no path"),
        ("l.json", '[{"path": "a.off", "label": ["x"]}]', r"row 1: its label is \['x'\], which is not text"),
    ],
)
def test_rows_that_are_wrong_are_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(SourceError, match=message):
        MeshList(tmp_path / name)


def test_what_is_no_list_is_refused(tiny_meshes, tmp_path):
    for source in (tiny_meshes, tmp_path / "missing.csv"):
        with pytest.raises(SystemExit, match=r"is not a list of files \(\.csv, \.json\)"):
            prepare_data.main(["mesh-list", "--source", str(source), "--out", str(tmp_path / "out")])


def test_a_shard_looks_at_its_own_files_alone(rows, tiny_meshes, tmp_path):
    source = write_csv(tmp_path / "list.csv", rows)
    for row in rows:
        (tmp_path / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / row["path"]).write_bytes((tiny_meshes / row["path"]).read_bytes())

    def records():
        shards = [Shard(number, 2) for number in (1, 2)]
        return [Request("mesh-list", {"source": source}, shard=shard).record() for shard in shards]

    before = records()
    assert before[0]["source_files"] == before[1]["source_files"]
    os.utime(tmp_path / "box/train/box_0001.off", (1, 1))
    after = records()
    assert before[0]["own_times"] != after[0]["own_times"]
    assert before[1] == after[1]
    asked = ["mesh-list", "--source", str(source), *SMALL, "--out", str(tmp_path / "set"), "--shard"]
    assert [prepare_data.main([*asked, f"{number}/2"]) for number in (1, 2)] == [0, 0]
    assert prepare_data.main(["--merge", str(tmp_path / "set")]) == 0
    assert PreparedSet(tmp_path / "set").manifest["splits"] == {"train": 24, "test": 12}
    os.utime(tmp_path / "box/train/box_0001.off", (2, 2))
    with pytest.raises(SystemExit, match="own_times: files were changed"):
        prepare_data.main([*asked, "1/2"])
    assert prepare_data.main([*asked, "2/2"]) == 0  # there already


def test_lists_of_clouds(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        np.savetxt(tmp_path / f"{name}.xyz", rng.normal(size=(50, 3)))
    rows = [{"path": f"{name}.xyz", "label": name} for name in ("a", "b", "c")]
    found = CloudList(write_csv(tmp_path / "list.csv", rows, "path,label"))
    assert found.load(found.items[2]).points.shape == (50, 3)
    assert not found.surfaces
    assert not found.normals
    asked = ["cloud-list", "--source", str(tmp_path / "list.csv"), *SMALL]
    assert prepare_data.main([*asked, "--out", str(tmp_path / "set"), "--columns", "x y z"]) == 0
    assert PreparedSet(tmp_path / "set").class_names == ["a", "b", "c"]


def test_names_of_parts_belong_to_a_list_of_clouds(tmp_path):
    table = np.c_[np.random.default_rng(0).normal(size=(50, 3)), np.arange(50) % 2]
    for name in ("a", "b"):
        np.savetxt(tmp_path / f"{name}.txt", table, header="x y z part")
    rows = [{"path": f"{name}.txt", "label": "cup", "name": name} for name in ("a", "b")]
    source = write_csv(tmp_path / "list.csv", rows, "path,label,name")
    asked = ["cloud-list", "--source", str(source), *SMALL, "--out", str(tmp_path / "set")]
    for names in (("bowl", "handle"), ("handle", "bowl")):
        (tmp_path / "parts.txt").write_text("".join(f"cup {n} {name}\n" for n, name in enumerate(names)))
        if names[0] == "bowl":
            assert prepare_data.main(asked) == 0
    with pytest.raises(SystemExit, match="own_times: files were changed"):
        prepare_data.main(asked)
