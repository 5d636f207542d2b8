"""A synthetic room, written in ScanNet's layout and read back, against the boxes it was made of."""

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from pointmcd.datasets.preparation.sources import SourceError
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.engine import load_config
from pointmcd.folders import BusyError, Lock
from pointmcd.registry import DATASETS, METRICS, MODELS
from projects.mvnet.mvnet.room import random_room, write_room
from projects.mvnet.mvnet.scene_sets import prepare_scenes
from projects.mvnet.mvnet.scenes import SCANNET20, SceneCloud, crop_centers, crops, read_scene

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
IDS = list(SCANNET20)
RADIUS = 1.5


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    """A folder of three rooms, of 6 frames of 80 x 60 pixels each."""
    root = tmp_path_factory.mktemp("rooms") / "raw"
    for number in range(3):
        write_room(root / f"room{number}", random_room(number), frames=6, seed=number)
    return root


@pytest.fixture(scope="module")
def scene_set(rooms):
    out = rooms.with_name("set")
    prepare_scenes(rooms, out, {"train": ["room0", "room1"], "test": ["room2"]}, 256, RADIUS)
    return out


def distances(points, boxes):
    """(P, boxes) distances from the boxes' surfaces, without sign."""
    center, half = (np.array([getattr(box, name) for box in boxes]) for name in ("center", "size"))
    beyond = np.abs(points[:, None] - center) - half / 2
    outside = np.linalg.norm(np.maximum(beyond, 0), axis=-1)
    return np.abs(outside + np.minimum(beyond.max(axis=-1), 0))


def test_points_lie_on_the_room_and_have_its_labels(rooms):
    boxes = random_room(1)
    cloud = read_scene(rooms / "room1", stride=1)
    apart = distances(cloud.points.astype(np.float64), boxes)
    assert len(cloud.points) > 5000
    assert apart.min(axis=1).max() < 1e-3  # depths are in whole millimetres, half of one off on a slanted ray
    own = np.array([[box.label == IDS[c] for box in boxes] for c in range(len(IDS))])
    truth = np.where(own[cloud.classes], apart, np.inf).min(axis=1)
    assert (truth < 1e-3).all()
    assert {IDS[c] for c in np.unique(cloud.classes)} == {1, 2, 3, 4, 7}


def test_one_point_of_each_voxel_is_kept(rooms):
    cloud = read_scene(rooms / "room0", stride=1, voxel=0.1)
    cells = np.floor(cloud.points.astype(np.float64) / 0.1 + 1e-9).astype(int)
    assert len(np.unique(cells, axis=0)) > 0.99 * len(cells)
    assert len(read_scene(rooms / "room0", every=2).points) < len(read_scene(rooms / "room0").points)


def test_labels_drawn_on_larger_colour_images(rooms, tmp_path):
    """Labels of twice the size with the colour camera's own intrinsics give the same classes."""
    import cv2

    write_room(tmp_path / "scene", random_room(0), frames=6, seed=0)
    camera = np.loadtxt(tmp_path / "scene/intrinsic/intrinsic_depth.txt")
    camera[:2] *= 2
    np.savetxt(tmp_path / "scene/intrinsic/intrinsic_color.txt", camera)
    for path in (tmp_path / "scene/label").iterdir():
        small = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), np.kron(small, np.ones((2, 2), np.uint16)))
    ours, theirs = read_scene(tmp_path / "scene"), read_scene(rooms / "room0")
    assert np.array_equal(ours.points, theirs.points)
    assert np.array_equal(ours.classes, theirs.classes)


def test_lost_tracking_and_unknown_ids(rooms, tmp_path):
    import cv2

    write_room(tmp_path / "scene", random_room(0), frames=6, seed=0)
    whole = read_scene(tmp_path / "scene")
    np.savetxt(tmp_path / "scene/pose/0.txt", np.full((4, 4), -np.inf))
    assert len(read_scene(tmp_path / "scene").points) < len(whole.points)
    for path in (tmp_path / "scene/label").iterdir():
        cv2.imwrite(str(path), np.full((60, 80), 40, np.uint16))  # other property
    assert (read_scene(tmp_path / "scene").classes == 20).all()


def test_crops_cover_the_scene_and_keep_lengths():
    draw = np.random.default_rng(0)
    points = draw.uniform(0, [6, 4, 0.1], (4000, 3)).astype(np.float32)
    centers = crop_centers(points, 0.5)
    apart = np.linalg.norm(points[:, None] - centers, axis=-1)
    assert apart.min(axis=1).max() <= 0.5
    between = np.linalg.norm(centers[:, None] - centers, axis=-1) + 9 * np.eye(len(centers))
    assert between.min() > 0.5
    cloud = SceneCloud(points, np.arange(4000, dtype=np.uint16) % 21)
    cut = list(crops(cloud, 300, 1.0, "scene"))
    assert len(cut) == len(centers)
    tree = cKDTree(points)
    for piece, center in zip(cut, centers, strict=True):
        rows = tree.query(piece.points + center)[1]
        np.testing.assert_allclose(points[rows] - center, piece.points, atol=1e-6)
        assert np.linalg.norm(piece.points, axis=1).max() <= 1 + 1e-6
        assert np.array_equal(piece.center, center)
        assert np.array_equal(cloud.classes[rows], piece.arrays(cloud)["parts"])
    again = next(crops(cloud, 300, 1.0, "scene"))
    assert np.array_equal(cut[0].points, again.points)


def test_a_small_scene_repeats_its_points():
    cloud = SceneCloud(np.eye(3, dtype=np.float32), np.arange(3, dtype=np.uint16))
    (only,) = crops(cloud, 8, 100.0, "few")
    assert only.points.shape == (8, 3)
    assert set(only.arrays(cloud)["parts"].tolist()) == {0, 1, 2}


def test_the_prepared_set_holds_crops(scene_set, rooms):
    prepared = PreparedSet(scene_set)
    prepared.verify()
    assert prepared.class_names == ["scene"]
    assert len(prepared.part_names) == 21
    assert prepared.part_names[-1] == "unlabelled"
    assert {name.split("/")[0] for name in prepared.split("train").names} == {"room0", "room1"}
    dataset = PreparedShapes(str(scene_set), "test", num_points=256, parts=True)
    batch = dataset.__getitems__(range(len(dataset)))
    assert batch["points"].norm(dim=-1).max() <= 1 + 1e-6
    assert batch["parts"].max() < 20
    with pytest.raises(SourceError, match="it was not touched"):
        prepare_scenes(rooms, scene_set, {"train": ["room0"]})


def test_an_interrupted_run_goes_on(rooms, tmp_path):
    out = tmp_path / "set"
    with pytest.raises(SourceError, match="room9"):
        prepare_scenes(rooms, out, {"train": ["room0"], "test": ["room9"]}, 64, RADIUS)
    assert not out.exists()
    (first,) = (out.with_name("set.partial") / "scenes").glob("room0--*.npz")
    written = first.stat().st_mtime_ns
    with pytest.raises(SourceError, match="a run with other settings"):
        prepare_scenes(rooms, out, {"train": ["room0"], "test": ["room1"]}, 65, RADIUS)
    with pytest.raises(SourceError, match="another source"):
        prepare_scenes(rooms / "room0", out, {"train": ["room0"], "test": ["room1"]}, 64, RADIUS)
    with pytest.raises(SourceError, match="room9"):
        prepare_scenes(rooms, out, {"train": ["room0"], "test": ["room9"]}, 64, RADIUS)
    assert first.stat().st_mtime_ns == written
    lock = Lock(out.with_name("set.partial") / "lock", out)
    with pytest.raises(BusyError, match="another run is using"):
        prepare_scenes(rooms, out, {"train": ["room0"], "test": ["room1"]}, 64, RADIUS)
    lock.release()
    with pytest.raises(ValueError, match=r"a scene is '\.\./room0'"):
        prepare_scenes(rooms, out, {"train": ["../room0"]}, 64, RADIUS)
    assert set(prepare_scenes(rooms, out, {"train": ["room0"], "test": ["room1"]}, 64, RADIUS)) == {
        "train",
        "test",
    }


def test_what_changed_meanwhile_is_made_again(rooms, tmp_path):
    shutil.copytree(rooms, tmp_path / "raw")
    given = tmp_path / "raw", tmp_path / "set"
    with pytest.raises(SourceError, match="room9"):
        prepare_scenes(*given, {"train": ["room0"], "test": ["room9"]}, 64, RADIUS)
    shutil.rmtree(tmp_path / "raw/room0")
    shutil.copytree(rooms / "room2", tmp_path / "raw/room0")
    prepare_scenes(*given, {"train": ["room0"], "test": ["room1"]}, 64, RADIUS)
    shutil.copytree(tmp_path / "raw", tmp_path / "again")
    prepare_scenes(tmp_path / "again", tmp_path / "new", {"train": ["room0"], "test": ["room1"]}, 64, RADIUS)
    digests = [PreparedSet(tmp_path / name).digest for name in ("set", "new")]
    assert digests[0] == digests[1]


def test_an_archive_that_was_replaced_is_refused(rooms, tmp_path):
    def packed(number):
        with tarfile.open(tmp_path / "rooms.tar", "w") as archive:
            archive.add(rooms / f"room{number}", "room0")

    given = tmp_path / "rooms.tar", tmp_path / "set", {"train": ["room0"], "test": ["room9"]}, 64, RADIUS
    packed(0)
    for _ in range(2):  # as it is, it is taken up
        with pytest.raises(SourceError, match="room9"):
            prepare_scenes(*given)
    packed(1)
    with pytest.raises(SourceError, match="the archive was replaced; remove it"):
        prepare_scenes(*given)


@pytest.mark.parametrize("name", ["scene_segmentation_srunet", "scene_segmentation_srunet_rooms"])
def test_fine_tuning_learns(name, scene_set):
    path = CONFIGS / f"{name}.py"  # those of meshes and of S3DIS: test_mvnet_room_files.py
    overrides = {"data_root": str(scene_set)}
    for loader in ("train", "val", "test"):
        overrides[f"{loader}_dataloader.dataset.num_points"] = 256
    config = load_config(path, overrides)
    if path.stem == "scene_segmentation_srunet":  # the full size is slow
        config.model.backbone.update(channels=(8, 8, 8, 8), blocks=(1,) * 4, decoder_channels=(8,) * 4)
        config.model.backbone.update(decoder_blocks=(1,) * 4, stem_channels=8, voxel_size=0.1)
    config.model.backbone.voxel_size = 0.1
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    dataset = DATASETS.build(config.train_dataloader.dataset)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    history = []
    for step in range(8):
        batch = dataset.__getitems__([(4 * step + i) % len(dataset) for i in range(4)])
        loss = model(mode="loss", **model.data_preprocessor(batch, True))["loss_task"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert np.mean(history[-2:]) < 0.7 * np.mean(history[:2])
    metric = METRICS.build(config.val_evaluator)
    test = DATASETS.build(config.val_dataloader.dataset)
    metric.process(None, model.eval()(mode="predict", **test.__getitems__(range(8))))
    assert metric.compute_metrics(metric.results).keys() == {
        "mean_iou",
        "overall_accuracy",
        "mean_class_accuracy",
    }


def test_unlabelled_points_do_not_count():
    torch.manual_seed(0)
    head = MODELS.build(
        {
            "type": "SceneSegmentationHead",
            "in_channels": 4,
            "local_channels": 3,
            "num_classes": 1,
            "num_parts": 4,
        }
    ).eval()
    features = {"local_feats": torch.randn(2, 5, 3), "global_feats": torch.randn(2, 4)}
    features |= head(features, torch.zeros(2, dtype=torch.long))
    assert features["logits"].shape == (2, 5, 3)
    parts = torch.tensor([[0, 1, 2, 3, 3], [3, 3, 3, 3, 3]])
    some = head.loss(features, {"parts": parts})["loss_task"]
    alone = {"logits": features["logits"][:1, :3]}
    torch.testing.assert_close(some, head.loss(alone, {"parts": parts[:1, :3]})["loss_task"])
    assert head.loss(features, {"parts": torch.full((2, 5), 3)})["loss_task"] == 0

    metric = METRICS.build({"type": "SceneSegmentationMetric", "num_parts": 4})
    guess = torch.nn.functional.one_hot(torch.tensor([0, 1, 1, 2, 2]), 3).float()
    metric.process(None, [{"parts": parts[0], "part_scores": guess}])
    # class 0: 1 of 1; class 1: 1 of 2 (one more was called so); class 2: 0 of 1; the last two do not count
    found = metric.compute_metrics(metric.results)
    assert found == pytest.approx(
        {"mean_iou": 50.0, "overall_accuracy": 200 / 3, "mean_class_accuracy": 200 / 3}
    )


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("intrinsic/intrinsic_depth.txt", "has no intrinsic/intrinsic_depth.txt or intrinsics_depth.txt"),
        ("pose/1.txt", "has no pose/1.txt; is it a scene in ScanNet's or in 7-Scenes' layout?"),
        ("label/1.png", "has no label image of frame 1"),
    ],
)
def test_what_lacks_is_named(tmp_path, missing, reason):
    write_room(tmp_path, random_room(0), frames=2)
    (tmp_path / missing).unlink()
    with pytest.raises(SourceError, match=reason):
        read_scene(tmp_path)
    with pytest.raises(SourceError, match=r"there is no folder .*absent"):
        read_scene(tmp_path / "absent")
