"""The set of whole scenes with boxes: what it holds, what is left out, and how an interrupt is taken up."""

import shutil

import numpy as np
import pytest

from pointmcd.datasets.preparation.sources import SourceError
from pointmcd.datasets.prepared_set import PreparedSet
from projects.mvnet.mvnet.boxes import SceneBoxes, write_boxes
from projects.mvnet.mvnet.detection import ScenesWithBoxes
from projects.mvnet.mvnet.detection.preparation import prepare_scenes_with_boxes, spread_points
from projects.mvnet.mvnet.detection.rooms import furnished_room
from projects.mvnet.mvnet.detection.suppression import points_inside
from projects.mvnet.mvnet.scene_work import scene_file


def test_the_set_holds_whole_scenes_in_metres(room_set):
    prepared = PreparedSet(room_set)
    prepared.verify()
    assert prepared.manifest["points"]["normalization"] == "metres"
    dataset = ScenesWithBoxes(str(room_set), "train", num_points=256)
    assert dataset.metainfo["box_classes"][2] == "cabinet"
    batch = dataset.__getitems__([1, 0])
    for row, number in enumerate((1, 0)):
        _, truth = furnished_room(number)
        there = batch["box_classes"][row] >= 0
        rows = [
            next(r for r, box in enumerate(truth.boxes) if np.array_equal(box, found))
            for found in batch["boxes"][row][there].numpy()
        ]
        assert batch["box_classes"][row][there].tolist() == truth.classes[rows].tolist()
        assert (batch["boxes"][row][~there] == 0).all()
        points = batch["points"][row].numpy()
        assert np.ptp(points[:, 2]) > 1
        # furniture is seen: most boxes hold points, and all of them lie within the walls
        assert (points_inside(points, truth.boxes + np.array([0, 0, 0, 0.02, 0.02, 0.02])) > 0).mean() > 0.7


def test_what_nobody_saw_is_left_out_and_what_lacks_is_named(room_set, tmp_path):
    raw = room_set.with_name("raw")
    for number in (0, 2):
        (tmp_path / "raw").mkdir(exist_ok=True)
        (tmp_path / f"raw/room{number}").symlink_to(raw / f"room000{number}")
    folder = tmp_path / "raw/room1"
    folder.mkdir()
    for path in (raw / "room0001").iterdir():
        (folder / path.name).symlink_to(path)
    scenes = {"train": ["room0", "room1"], "test": ["room2"]}
    (folder / "boxes.npz").unlink()
    with pytest.raises(SourceError, match=r"room1 has no boxes\.npz"):
        prepare_scenes_with_boxes(tmp_path / "raw", tmp_path / "set", scenes, 64, stride=4)
    (first,) = (tmp_path / "set.partial/scenes").glob("room0--*.npz")
    written = first.stat().st_mtime_ns
    with pytest.raises(SourceError, match="a run with other settings"):
        prepare_scenes_with_boxes(tmp_path / "raw", tmp_path / "set", scenes, 65, stride=4)
    with pytest.raises(SourceError, match="another source"):
        prepare_scenes_with_boxes(raw, tmp_path / "set", scenes, 64, stride=4)
    write_boxes(folder / "boxes.npz", SceneBoxes(np.ones((1, 6), np.float32), np.array([20])))
    with pytest.raises(SourceError, match="there are 20 classes"):
        prepare_scenes_with_boxes(tmp_path / "raw", tmp_path / "set", scenes, 64, stride=4)
    assert not (tmp_path / "set").exists()
    assert first.stat().st_mtime_ns == written  # the run goes on from the scenes that are done
    far = np.array([[50, 0, 0, 1, 1, 1], [0, 0, 0, 9, 9, 9]], np.float32)
    write_boxes(folder / "boxes.npz", SceneBoxes(far, np.array([3, 4])))
    counts = prepare_scenes_with_boxes(tmp_path / "raw", tmp_path / "set", scenes, 64, stride=4)
    assert counts["train"][0] == 2
    assert counts["train"][2] >= 1
    kept = ScenesWithBoxes(str(tmp_path / "set"), "train", num_points=64).boxes[1]
    assert kept.classes.tolist() == [4]
    with pytest.raises(SourceError, match=r"a scene is '\.\./room0'"):
        prepare_scenes_with_boxes(tmp_path / "raw", tmp_path / "new", {"train": ["../room0"]})
    with pytest.raises(SourceError, match="test lists no scene"):
        prepare_scenes_with_boxes(tmp_path / "raw", tmp_path / "new", {"train": ["room0"], "test": []})
    with pytest.raises(SourceError, match="it was not touched"):
        prepare_scenes_with_boxes(tmp_path / "raw", tmp_path / "set", scenes, 64)


def test_a_few_points_repeat():
    points = np.arange(15, dtype=np.float32).reshape(5, 3)
    assert {tuple(p) for p in spread_points(points, 8, "few")} == {tuple(p) for p in points}
    many = np.random.default_rng(0).uniform(size=(100, 3)).astype(np.float32)
    assert np.array_equal(spread_points(many, 8, "many"), spread_points(many, 8, "many"))


def test_every_scene_has_a_file_of_its_own(tmp_path):
    names = ["a/b", "a--b", "a%2Fb", "room 1 2", "room_1_2"]
    files = {scene_file(tmp_path, name, tmp_path) for name in names}
    assert len(files) == len(names)
    assert {file.parent for file in files} == {tmp_path / "scenes"}


def test_a_scene_that_changed_meanwhile_is_made_again(room_set, tmp_path):
    """After a failure at another scene the same call takes up what the folders hold now."""
    raw = tmp_path / "raw"
    for number in range(2):
        shutil.copytree(room_set.with_name("raw") / f"room000{number}", raw / f"room{number}")
    (raw / "room1/boxes.npz").rename(tmp_path / "boxes.npz")
    given = raw, tmp_path / "set", {"train": ["room0"], "test": ["room1"]}, 64, 0
    with pytest.raises(SourceError, match=r"room1 has no boxes\.npz"):
        prepare_scenes_with_boxes(*given, stride=4)
    one = np.array([[0, 0, 0, 1, 1, 1]], np.float32)
    write_boxes(raw / "room0/boxes.npz", SceneBoxes(one, np.array([3])))
    (tmp_path / "boxes.npz").rename(raw / "room1/boxes.npz")
    prepare_scenes_with_boxes(*given, stride=4)
    (made,) = ScenesWithBoxes(str(tmp_path / "set"), "train", num_points=64).boxes
    assert np.array_equal(made.boxes, one)


def test_damaged_boxes_are_named(room_set, tmp_path):
    shutil.copytree(room_set.with_name("raw") / "room0000", tmp_path / "raw/room0")
    (tmp_path / "raw/room0/boxes.npz").write_bytes(b"")
    with pytest.raises(SourceError, match=r"room0/boxes\.npz is damaged"):
        prepare_scenes_with_boxes(tmp_path / "raw", tmp_path / "set", {"train": ["room0"]}, 64, stride=4)


def test_cameras_beside_a_scene_are_of_it(tmp_path):
    (tmp_path / "room").mkdir()
    before = scene_file(tmp_path, "room", tmp_path / "room")
    (tmp_path / "camera-intrinsics.txt").write_text("1 0 0\n0 1 0\n0 0 1\n")
    assert scene_file(tmp_path, "room", tmp_path / "room") != before
