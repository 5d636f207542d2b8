"""Sets in shards: the same shapes as in one piece; what is amiss is said with the command that mends it."""

import fcntl
import json
import pickle
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pointmcd.commands import predict, prepare_data
from pointmcd.datasets.images import KINDS
from pointmcd.datasets.manifest import MANIFEST, manifest_digest
from pointmcd.datasets.preparation.shards import Shard
from pointmcd.datasets.preparation.sources import Item, SourceError
from pointmcd.datasets.prepared_set import PreparedSet, PreparedSetError
from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.datasets.prepared_split import ARRAYS
from pointmcd.datasets.teacher_cache import TeacherCache, TeacherCacheWriter

ASKED = shlex.split(
    "builtin --train 4 --test 1 --categories lamp table --points 64 --copies 1 --depths --image-size 16 "
    "--azimuth 0 180 --elevation 30 --workers 0"
)
COUNT = 4  # shards, of 8, 8 and 2 shapes: the first has none to test on


def prepare(out: Path, number: int | None = None, *more: str) -> int:
    shard = () if number is None else ("--shard", f"{number}/{COUNT}")
    return prepare_data.main([*ASKED, "--out", str(out), *shard, *more])


def merge(root: Path) -> int:
    return prepare_data.main(["--merge", str(root)])


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "set"
    assert prepare(out) == 0
    return out


@pytest.fixture(scope="module")
def merged(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("sharded") / "set"
    for number in (3, 1, 4, 2):  # in any order
        assert prepare(out, number) == 0
    assert merge(out) == 0
    return out


@pytest.fixture
def root(merged: Path, tmp_path: Path) -> Path:
    return shutil.copytree(merged, tmp_path / "set")


def refused(action, *arguments) -> str:
    """The one message of a command that fails."""
    with pytest.raises(SystemExit) as end:
        action(*arguments)
    assert isinstance(end.value.code, str)  # Python prints it and exits with 1
    return end.value.code


def test_every_array_and_image_is_that_of_the_set_in_one_piece(whole, merged):
    one, other = PreparedSet(whole), PreparedSet(merged)
    assert (one.splits, one.class_names, one.part_names) == (
        other.splits,
        other.class_names,
        other.part_names,
    )
    assert one.copy_of.tolist() == other.copy_of.tolist()
    for split in map(one.split, one.splits):
        there = other.split(split.name)
        assert split.names == there.names
        assert split.labels.tolist() == there.labels.tolist()
        for name in ARRAYS:
            own, found = getattr(split, name), getattr(there, name)
            assert (own is None) == (found is None)
            if own is not None:
                assert (own.dtype, own.shape) == (found.dtype, found.shape)
                np.testing.assert_array_equal(own, np.asarray(found))
        for kind in KINDS:
            for place in range(2 * len(split)):
                own, found = (getattr(s, kind).encoded(place // 2, place % 2) for s in (split, there))
                np.testing.assert_array_equal(own, found)
    other.verify()


def test_rows_are_read_as_those_of_one_array(whole, merged):
    own, found = (PreparedSet(root).split("train").points for root in (whole, merged))
    for key in (4, -1, (2, slice(0, 5)), slice(1, 8, 2), [7, 0, 3], (slice(2, 2), slice(0, 1)), np.int64(5)):
        np.testing.assert_array_equal(own[key], found[key])
    with pytest.raises(IndexError, match="row 8 of 8"):
        found[8]
    options = {"normals": True, "visibility": True, "parts": True, "views": "all", "depths": True}
    own, found = (PreparedShapes(str(root), "train", 32, **options) for root in (whole, merged))
    indices = [7, 0, 5, 3]
    for name, value in own.__getitems__(indices).items():
        assert (value == found.__getitems__(indices)[name]).all(), name
    assert len(PreparedShapes(str(merged), "train", 32, copies=True)[3]["points"]) == 1
    again = pickle.loads(pickle.dumps(found._data))
    assert again.names == own._data.names


def test_caches_lie_beside_the_whole_set(root):
    with TeacherCacheWriter(root, "made_up") as writer:
        for split in writer.prepared.splits:
            count = len(writer.prepared.split(split))
            writer.write_split(split, [{"logits": torch.rand(count, 3)}])
        writer.finish({"accuracy": {}})
    assert len(TeacherCache(root, "made_up").split("train").rows(np.array([7, 0]))["logits"]) == 2
    assert prepare_data.main(["--check", str(root)]) == 0
    shutil.rmtree(root / "shards/0002")
    prepare(root, 2)  # the same shapes are the same set
    assert TeacherCache(root, "made_up").meta["data_digest"] == PreparedSet(root).digest


def test_shares_are_all_of_the_shapes_once_and_in_order():
    items = [Item(f"s{n}", 0, "train" if n < 10 else "test") for n in range(13)]
    for count in (1, 2, 3, 5, 10):
        shares = [Shard(number, count).share(items) for number in range(1, count + 1)]
        for split in ("train", "test"):
            found = [item for share in shares for item in share if item.split == split]
            assert found == [item for item in items if item.split == split]
        sizes = [len(share) for share in shares]
        assert max(sizes) - min(sizes) <= 2
    with pytest.raises(SourceError, match="make fewer shards"):
        Shard(1, 20).share(items)
    for wrong in ("0/8", "9/8"):
        with pytest.raises(ValueError, match="numbered from 1 to 8"):
            Shard.of(wrong)
    for wrong in ("3", "3/0", "-1/8", "3/8/9"):
        with pytest.raises(ValueError, match="the third of eight is 3/8"):
            Shard.of(wrong)


def test_merging_names_what_is_missing_and_the_command_that_makes_it(root):
    assert "--out SET --shard 1/8" in refused(merge, root.with_name("empty")).replace(
        str(root.with_name("empty")), "SET"
    )
    (root / MANIFEST).unlink()
    for number in (2, 4):
        shutil.rmtree(root / f"shards/000{number}")
    (root / "shards/0002.partial/shapes").mkdir(parents=True)
    said = refused(merge, root)
    assert "2 of the 4 shards" in said
    assert "0002, 0004" in said
    command = said.partition("made by: ")[2]
    assert command == f"pointmcd prepare {' '.join(ASKED)} --out {merged_root(root)} --shard 2/4"
    assert "--merge" in refused(prepare_data.main, ["--check", str(root)])
    words = command.split()[2:]
    words[words.index("--out") + 1] = str(root)
    assert prepare_data.main(words) == 0
    assert prepare(root, 4) == 0
    assert merge(root) == 0


def merged_root(root: Path) -> str:
    """The folder that the shards were made in, before they were copied."""
    command = json.loads((root / "shards/0001" / MANIFEST).read_text())["made_with"]["command"].split()
    return command[command.index("--out") + 1]


def test_a_missing_or_damaged_shard_is_named_on_opening(root):
    digest = PreparedSet(root).digest
    points = root / "shards/0003/train/points.npy"
    points.write_bytes(points.read_bytes()[:-1])
    with pytest.raises(PreparedSetError, match=r"0003/train/points.npy has [\s\S]*--shard 3/4 --overwrite$"):
        PreparedSet(root)
    shutil.rmtree(root / "shards/0003")
    with pytest.raises(
        PreparedSetError, match=r"shards/0003 holds no prepared [\s\S]*--shard 3/4 --overwrite"
    ):
        PreparedSet(root)
    assert prepare(root, 3) == 0
    assert PreparedSet(root).digest == digest


def test_arrays_of_shards_are_mapped_when_they_are_read_and_only_of_the_set_that_was_opened(root):
    def mapped() -> set[str]:
        """Files of the set that this process holds open."""
        return {line.rpartition("/set/")[2] for line in maps.read_text().splitlines() if str(root) in line}

    maps = Path("/proc/self/maps")
    split = PreparedSet(root).split("train")
    assert mapped() == set()
    assert split.points[0].any()
    assert mapped() == {"shards/0001/train/points.npy"}
    assert split.points[7].any()
    assert mapped() == {f"shards/000{number}/train/points.npy" for number in (1, 4)}
    assert prepare(root, 2, "--overwrite") == 0
    assert split.points[2].any()  # the same shapes
    assert prepare(root, 3, "--overwrite", "--seed", "1") == 0
    for read in (lambda: split.points[4], lambda: split.views.read(4, 0), lambda: split.labels):
        with pytest.raises(PreparedSetError, match="0003 was replaced by another set meanwhile; start again"):
            read()


def test_an_array_that_lies_of_itself_is_named_with_its_shard(root):
    points = root / "shards/0003/train/points.npy"
    data = points.read_bytes()
    points.write_bytes(data.replace(b"<f4", b"<i4", 1))  # of the same size
    split = PreparedSet(root).split("train")
    with pytest.raises(
        PreparedSetError, match=r"0003/train/points.npy is damaged[\s\S]*--shard 3/4 --overwrite$"
    ):
        np.asarray(split.points)
    assert "0003/train/points.npy is damaged" in refused(merge, root)


def test_a_changed_byte_is_found_by_check(root):
    path = root / "shards/0002/train/views.bin"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    said = refused(prepare_data.main, ["--check", str(root)])
    assert "0002/train/views.bin was changed" in said
    assert said.endswith("--shard 2/4 --overwrite")


def test_a_shard_of_another_request_is_refused_when_it_is_made_and_when_merged(root):
    said = refused(prepare, root, 2, "--seed", "1")
    assert "seed: 0 there, 1 asked for" in said
    assert prepare(root, 2, "--seed", "1", "--overwrite") == 0
    with pytest.raises(PreparedSetError, match=r"shards/0002 was made again [\s\S]*prepare --merge"):
        PreparedSet(root)
    said = refused(merge, root)
    assert "0002 is a shard of another request than 0001:\n  seed: 1 there, 0 asked for" in said
    assert said.endswith("--shard 2/4 --overwrite")
    said = refused(prepare_data.main, [*ASKED, "--out", str(root), "--shard", "1/2"])
    assert "one of 4 there, one of 2 asked for" in said


def test_folders_that_are_not_the_shards_of_one_set(root, whole, tmp_path):
    shards = root / "shards"
    shutil.copytree(shards / "0003", shards / "0005")
    assert "0005 is not one of the 4 shards" in refused(merge, root)
    shutil.rmtree(shards / "0002")
    (shards / "0005").rename(shards / "0002")
    assert "0002 is number 3 of the shards" in refused(merge, root)
    shutil.rmtree(shards / "0002")
    shutil.copytree(whole, shards / "0002")
    assert "0002 is not a shard" in refused(merge, root)
    for folder in ("0001", "0003", "0004"):
        shutil.rmtree(shards / folder)
    assert "0002 is not a shard" in refused(merge, root)
    assert "in one piece" in refused(prepare, whole, 1)
    there = shutil.copytree(whole, tmp_path / "there")
    shutil.copytree(whole, there / "shards/0001")
    assert "in one piece" in refused(merge, there)


@pytest.mark.parametrize("change", ["fewer", "twice", "source", "classes", "arrays"])
def test_shards_that_lie_are_refused(root, change):
    path = root / "shards/0002" / MANIFEST
    manifest = json.loads(path.read_text())
    names = root / "shards/0002/train/names.json"
    if change == "fewer":
        manifest["shard"]["source_shapes"]["train"] = 99
        others = [root / f"shards/000{n}" / MANIFEST for n in (1, 3, 4)]
        for other in others:
            values = json.loads(other.read_text())
            values["shard"]["source_shapes"]["train"] = 99
            rewrite(other, values)
    elif change == "twice":
        first = json.loads((root / "shards/0001/train/names.json").read_text())
        old = json.loads(names.read_text())
        names.write_text(names.read_text().replace(old[0], first[0]))
        manifest["files"]["train/names.json"]["bytes"] = names.stat().st_size
    elif change == "source":
        manifest["shard"]["source_sha256"] = "0" * 64
    elif change == "classes":
        manifest["class_names"] = ["lamp", "sofa"]
    else:  # of a split that the first shard has none of
        path = root / "shards/0004" / MANIFEST
        manifest = json.loads(path.read_text())
        del manifest["files"]["test/normals.npy"]
    rewrite(path, manifest)
    said = refused(merge, root)
    expected = {
        "fewer": "holds 2 shapes of train, rejected ones included, instead of 24",
        "twice": "both hold train/",
        "source": "is of another source",
        "classes": "differs from 0001 in class_names",
        "arrays": "0004 has other arrays in test than the shards before it",
    }
    assert expected[change] in said


def rewrite(path: Path, manifest: dict) -> None:
    manifest = {key: value for key, value in manifest.items() if key != "manifest_sha256"}
    path.write_text(json.dumps(manifest | {"digest": manifest_digest(manifest)}))


def test_a_set_of_shards_is_no_folder_of_shapes(root):
    assert "is a prepared set, not a folder of shapes" in refused(predict.main, ["student.pth", str(root)])


def test_two_writers_of_one_shard_and_two_that_merge(root):
    shutil.rmtree(root / "shards/0002")
    (root / "shards/0002.partial").mkdir()
    for lock, action in (("0002.partial/lock", lambda: prepare(root, 2)), ("lock", lambda: merge(root))):
        with open(root / "shards" / lock, "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert "another run is using" in refused(action)
    assert prepare(root, 2) == 0
    assert merge(root) == 0


def test_a_shard_of_which_no_shape_is_usable_is_no_obstacle(tiny_meshes, tmp_path):
    source = shutil.copytree(tiny_meshes, tmp_path / "meshes")
    rows = [f"box/train/bad{n}.off,box" for n in range(2)]
    for row in rows:
        (source / row.partition(",")[0]).write_text("OFF\n")
    kept = sorted(source.glob("*/train/*.off"))[-4:]
    rows += [f"{path.relative_to(source)},{path.parts[-3]}" for path in kept]
    listed = source / "list.csv"
    listed.write_text("\n".join(["path, label", *sorted(rows)]))
    out = tmp_path / "set"
    asked = ["mesh-list", "--source", str(listed), "--no-views", "--points", "16", "--workers", "0"]
    codes = [prepare_data.main([*asked, "--out", str(out), "--shard", f"{n}/3"]) for n in (1, 2, 3)]
    assert codes == [3, 0, 0]
    assert PreparedSet(out / "shards/0001").splits == []
    assert prepare_data.main(["--merge", str(out)]) == 3
    prepared = PreparedSet(out)
    assert prepared.manifest["splits"] == {"train": 4}
    assert len(prepared.manifest["rejected"]) == 2
    assert len(np.asarray(prepared.split("train").points)) == 4


def test_too_many_shards_leave_nothing_in_the_way_of_fewer(tmp_path):
    asked = [*ASKED, "--out", str(tmp_path / "set"), "--shard"]
    assert "make fewer shards" in refused(prepare_data.main, [*asked, "99/100"])
    assert prepare_data.main([*asked, "4/4"]) == 0


def test_damaged_manifests_are_named_and_the_command_said_helps(root):
    """Of a shard, of the one beside it, and of the whole set."""
    digest = PreparedSet(root).digest
    damaged = root / "shards/0002" / MANIFEST
    for text in ("{", "[]", "{}", '{"request": 3}'):
        damaged.write_text(text)
        assert "--shard 2/4 --overwrite" in refused(merge, root)
        assert "--overwrite" in refused(prepare, root, 2)
        assert "shards/0002" in refused(prepare_data.main, ["--check", str(damaged.parent)])
        assert prepare(root, 1, "--overwrite") == 0
    assert prepare(root, 2, "--overwrite") == 0
    for text in ("{", "[]", "{}"):
        (root / MANIFEST).write_text(text)
        assert "prepare --merge" in refused(prepare_data.main, ["--check", str(root)])
        assert merge(root) == 0
        assert PreparedSet(root).digest == digest


def test_rejected_shapes_are_counted_and_listed(tiny_meshes, tmp_path):
    source = shutil.copytree(tiny_meshes, tmp_path / "meshes")
    (source / "box/train/bad.off").write_text("OFF\n")
    asked = ["mesh-folder", "--source", str(source), "--no-views", "--points", "16", "--workers", "0"]
    codes = [
        prepare_data.main([*asked, "--out", str(tmp_path / "set"), "--shard", f"{number}/2"])
        for number in (1, 2)
    ]
    assert codes == [3, 0]
    assert prepare_data.main(["--merge", str(tmp_path / "set")]) == 3
    prepared = PreparedSet(tmp_path / "set")
    assert prepared.manifest["splits"] == {"train": 24, "test": 12}
    assert [one["name"] for one in prepared.manifest["rejected"]] == ["box/bad"]
