"""Lists of scenes: what their lines say, and what is refused of them before any work."""

import pytest

from pointmcd.datasets.preparation.sources import SourceError
from projects.mvnet.mvnet.scene_lists import ScenePart, check_scenes, read_list
from projects.mvnet.tools import prepare_detection, prepare_scenes


def parsed(**splits):
    return {split: [ScenePart.parse(line) for line in lines] for split, lines in splits.items()}


def test_a_line_is_a_scene_or_some_of_its_frames():
    assert ScenePart.parse("kitchen 0 795") == ("kitchen", 0, 795)
    assert str(ScenePart.parse(" kitchen ")) == "kitchen"
    for wrong in ("", "kitchen 3", "kitchen a b"):
        with pytest.raises(SourceError, match="a line is NAME, or NAME FIRST LAST"):
            ScenePart.parse(wrong)


def test_no_frame_is_listed_twice():
    check_scenes(parsed(train=["room 0 9", "room 20 29", "hall"], test=["room 10 19", "kitchen"]))
    for train, test in (
        (["room 0 10"], ["room 5 15"]),
        (["room 0 10"], ["room 10 15"]),
        (["hall", "room"], ["room 5 15"]),
        (["room 3 3"], ["room"]),
    ):
        with pytest.raises(
            SourceError, match=r"train lists 'room.*' and test 'room.*': the same frames twice"
        ):
            check_scenes(parsed(train=train, test=test))
    with pytest.raises(SourceError, match="train lists 'room' and train 'room'"):
        check_scenes(parsed(train=["room", "hall", "room"]))
    for name in ("../room", "a//b", "room/", ".hidden", "/room"):
        with pytest.raises(SourceError, match="needs the name of a folder"):
            check_scenes({"train": [ScenePart(name)]})


@pytest.mark.parametrize("tool", [prepare_detection, prepare_scenes])
def test_the_tools_refuse_a_scene_of_both_lists(tool, tmp_path):
    (tmp_path / "train.txt").write_text("room0\nroom1\n")
    (tmp_path / "test.txt").write_text("room1\n")
    lists = f"--train {tmp_path}/train.txt --test {tmp_path}/test.txt"
    with pytest.raises(SystemExit, match="train lists 'room1' and test 'room1'"):
        tool.main(f"--source {tmp_path} --out {tmp_path}/set {lists}".split())
    assert not (tmp_path / "set.partial").exists()


@pytest.mark.parametrize(
    ("tool", "wrong", "reason"),
    [
        (prepare_scenes, "--voxel 0", "voxel is 0.0, must be above 0"),
        (prepare_scenes, "--radius -1", "radius is -1.0, must be above 0"),
        (prepare_scenes, "--radius nan", "radius is nan, must be above 0"),
        (prepare_scenes, "--every 0", "every is 0, must be at least 1"),
        (prepare_scenes, "--views -1", "views is -1, must be at least 0"),
        (prepare_scenes, "--views 1 --image-size 0", "image_size is 0, must be at least 1"),
        (prepare_detection, "--voxel -0.1", "voxel is -0.1, must be above 0"),
        (prepare_detection, "--stride 0", "stride is 0, must be at least 1"),
        (prepare_detection, "--points 0", "num_points is 0, must be at least 1"),
        (prepare_detection, "--least-points -1", "least_points is -1, must be at least 0"),
    ],
)
def test_numbers_are_checked_first(tool, wrong, reason, tmp_path):
    for split in ("train", "test"):
        (tmp_path / f"{split}.txt").write_text(f"{split}\n")
    lists = f"--train {tmp_path}/train.txt --test {tmp_path}/test.txt"
    with pytest.raises(SystemExit, match=reason):
        tool.main(f"--source {tmp_path} --out {tmp_path}/set {lists} {wrong}".split())
    assert not (tmp_path / "set.partial").exists()


def test_a_list_is_text(tmp_path):
    path = tmp_path / "train.txt"
    path.write_bytes("\ufeffroom0\n\n room1 \n".encode())
    assert read_list(path) == ["room0", "room1"]
    path.write_bytes("Küche\n".encode("latin-1"))
    with pytest.raises(SourceError, match=r"train\.txt is not a list of scenes in UTF-8 \(byte 1 is not\)"):
        read_list(path)
