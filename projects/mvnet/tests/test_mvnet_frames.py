"""Posed frames in both layouts, the views of crops and what they show, against the room that was rendered."""

import shutil
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.engine import load_config
from pointmcd.geometry.correspondence import correspondences, overlap, project, unproject
from pointmcd.registry import DATASETS, MODELS
from projects.mvnet.mvnet import PosedShapes
from projects.mvnet.mvnet.frames import Y_DOWN, posed_frames, seen_by_depth
from projects.mvnet.mvnet.matching import colour_features, matching_errors
from projects.mvnet.mvnet.room import paint, random_room, write_room
from projects.mvnet.mvnet.scene_sets import prepare_scenes
from projects.mvnet.mvnet.scenes import read_scene
from projects.mvnet.mvnet.views import PosedViews
from projects.mvnet.tools import draw, match_views
from projects.mvnet.tools import prepare_scenes as prepare_tool

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
KITCHEN = Path(__file__).resolve().parents[4] / "shared/data/sevenscenes_redkitchen.tar.xz"


def as_seven_scenes(scene, folder, sequence=""):
    """Write a scene in ScanNet's layout in 7-Scenes': y down, 65535 for nothing, frames 0, 5, 10 ..."""
    (folder / sequence).mkdir(parents=True)
    camera = np.loadtxt(scene / "intrinsic/intrinsic_depth.txt")[:3, :3]
    np.savetxt(folder / "camera-intrinsics.txt", camera)
    for path in (scene / "depth").iterdir():
        stem = folder / sequence / f"frame-{5 * int(path.stem):06d}"
        depth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        depth[depth == 0] = 65535
        cv2.imwrite(f"{stem}.depth.png", depth)
        shutil.copy(scene / f"color/{path.stem}.jpg", f"{stem}.color.jpg")
        pose = np.linalg.inv(Y_DOWN) @ np.loadtxt(scene / f"pose/{path.stem}.txt")
        np.savetxt(f"{stem}.pose.txt", pose)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """One room of 20 frames, ``room`` in ScanNet's layout and ``seven`` in 7-Scenes'."""
    root = tmp_path_factory.mktemp("scenes")
    write_room(root / "room", random_room(0), frames=20, seed=0)
    as_seven_scenes(root / "room", root / "seven")
    return root


@pytest.fixture(scope="module")
def view_set(scenes):
    """Crops with four views of 20 pixels each."""
    out = scenes / "set"
    split = {"train": ["seven 0 40"], "test": ["seven 45 95"]}
    prepare_scenes(scenes, out, split, 256, 1.2, views=4, image_size=20)
    return out


def test_both_layouts_say_the_same(scenes):
    ours, theirs = read_scene(scenes / "room"), read_scene(scenes / "seven")
    np.testing.assert_allclose(ours.points, theirs.points, atol=1e-5)
    assert np.array_equal(ours.colors, theirs.colors)
    assert ours.classes is not None
    assert theirs.classes is None
    as_seven_scenes(scenes / "room", scenes / "of_sequences", "seq-01")
    assert np.array_equal(read_scene(scenes / "of_sequences").points, theirs.points)


def test_a_frame_without_a_picture_is_named(scenes, tmp_path, capsys):
    shutil.copytree(scenes / "room", tmp_path / "room")
    (tmp_path / "room/color/3.jpg").unlink()
    assert read_scene(tmp_path / "room").colors is None
    said = f"1 of 20 frames of {tmp_path}/room without a picture, so that the scene has no colours: 3\n"
    assert capsys.readouterr().err == said
    shutil.rmtree(tmp_path / "room/color")
    read_scene(tmp_path / "room")
    assert not capsys.readouterr().err


def test_points_have_the_colour_of_the_surface(scenes):
    cloud = read_scene(scenes / "seven", stride=1)
    apart = np.abs(cloud.colors.astype(float) - paint(cloud.points.astype(np.float64)))
    assert np.median(apart) <= 3  # JPEG; at the tiles' edges more
    assert (apart.max(axis=1) < 25).mean() > 0.75
    wrong = np.abs(cloud.colors.astype(float) - paint(cloud.points + np.float32(0.2)))
    assert np.median(wrong) > 20


def test_another_camera_is_seen_from_the_depth_camera():
    """A wall at 2 m whose colour is its x: the other camera stands aside and sees it larger."""
    camera = np.array(((60.0, 0, 30), (0, 60, 20), (0, 0, 1)))
    other = np.array(((90.0, 0, 50), (0, 90, 40), (0, 0, 1)))
    shift, depth = (0.3, 0.0, 0.0), np.full((40, 60), 2.0)
    depth[:5] = np.nan  # where nothing was measured the wall is taken to go on
    column = (np.arange(100) + 0.5 - 50) / 90 * 2 - 0.3  # x of the wall at the other camera's columns
    image = np.broadcast_to(column, (80, 100))
    found = seen_by_depth(image, depth, camera, other, shift)
    truth = (np.arange(60) + 0.5 - 30) / 60 * 2
    inside = (truth + 0.3) / 2 * 90 + 50 < 100
    np.testing.assert_allclose(
        found[:, inside], np.broadcast_to(truth[inside], (40, inside.sum())), atol=0.012
    )
    assert (found[:, ~inside] == 0).all()
    assert (~inside).any()
    picture = seen_by_depth(np.repeat(image[..., None], 3, -1), depth, camera, other, shift)
    assert np.allclose(picture[:, ~inside], column[-1])  # a picture's border goes on


def test_ranges_and_lists(scenes):
    names = [frame.name for frame in posed_frames(scenes / "seven", first=10, last=20)]
    assert names == ["frame-000010", "frame-000015", "frame-000020"]
    assert [frame.name for frame in posed_frames(scenes / "room", 5)] == ["0", "5", "10", "15"]


def test_views_show_the_room_where_the_cameras_say(view_set, scenes):
    """A pixel with a depth shows a surface of the room: its colour, and points of the crop, are there."""
    dataset = PosedShapes(str(view_set), "train", num_points=256, views="all", depths=True, colors=True)
    batch = dataset.__getitems__(range(len(dataset)))
    assert batch["cameras"].shape == (len(dataset), 4, 3, 4)
    surface = PosedViews(None, 1, 0.03).unproject(batch["depths"], batch["cameras"])
    shown = surface.points[surface.valid]
    assert shown.norm(dim=-1).max() < 1 + 1e-3
    assert 0.1 < surface.valid.float().mean() < 0.9
    nearest = torch.cdist(surface.points.flatten(1, 3), batch["points"]).amin(-1).view(surface.valid.shape)
    assert nearest[surface.valid].median() < 0.1
    assert nearest[surface.valid].quantile(0.95) < 0.25
    # The cameras of the first crop, by the frames that they are of.
    frames = {frame.name: frame for frame in posed_frames(scenes / "seven", first=0, last=40)}
    seen = 0
    for depth, camera in zip(batch["depths"][0], batch["cameras"][0].double().numpy(), strict=True):
        for frame in frames.values():
            wanted = np.array(((48 / 60, 0, 0.5), (0, 48 / 60, 0.5), (0, 0, 1))) @ frame.world_to_camera
            if np.allclose(wanted[:, :3], camera[:, :3], atol=1e-5):
                valid = depth.isfinite().numpy()
                middle = frame.depth[1::3, 11:70:3]  # the middle pixel of each 3 x 3 of the middle square
                np.testing.assert_allclose(1.2 * depth.numpy()[valid], middle[valid], atol=1e-3)
                seen += 1
    assert seen == 4


def test_scannets_frames_are_views_too(view_set, scenes, tmp_path):
    """The same crops, cameras and depths from the other layout, whose scenes have labels beside."""
    split = {"train": ["room 0 8"], "test": ["room 9 19"]}  # frame 5 of 7-Scenes' names is frame 1
    prepare_scenes(scenes, tmp_path / "set", split, 256, 1.2, views=4, image_size=20)
    options = {"num_points": 256, "views": "all", "depths": True, "colors": True}
    ours, theirs = (PosedShapes(str(root), "test", **options) for root in (tmp_path / "set", view_set))
    assert ours.prepared.part_names is not None
    assert len(ours) == len(theirs)
    # crops are drawn by the scene's name, so that only what does not depend on the draw is the same
    here, there = ours[0], theirs[0]
    torch.testing.assert_close(here["cameras"], there["cameras"], atol=1e-4, rtol=1e-4)
    assert torch.equal(here["views"], there["views"])
    torch.testing.assert_close(here["depths"], there["depths"], atol=1e-3, rtol=0)


def test_nodes_are_found_in_other_views_where_they_are(view_set):
    """Matches of crops and those of whole frames agree: what is found lies within eps, seen by both."""
    dataset = PosedShapes(str(view_set), "test", num_points=256, views="all", depths=True)
    batch = dataset.__getitems__(range(len(dataset)))
    views = PosedViews(None, 2, 0.03)
    surface = views.unproject(batch["depths"], batch["cameras"])
    matches = views.match(surface, batch["depths"], batch["cameras"])
    own = torch.arange(4)
    assert torch.equal(matches.found[:, own, own], surface.valid)
    crossing = matches.found & ~torch.eye(4, dtype=torch.bool).view(1, 4, 4, 1, 1)
    assert crossing.sum() > 100
    shape, first, second, row, column = crossing.nonzero().unbind(1)
    points = surface.points[shape, first, row, column]
    image = torch.einsum("rij,rj->ri", batch["cameras"][shape, second][..., :3], points)
    image += batch["cameras"][shape, second][..., 3]
    torch.testing.assert_close(image[:, :2] / image[:, 2:], matches.position[crossing], atol=1e-5, rtol=1e-5)


def test_an_archive_is_a_source_and_a_set_has_what_its_scenes_have(view_set, scenes, tmp_path):
    for split, line in {"train": "seven 0 40", "test": "seven 45 95"}.items():
        (tmp_path / f"{split}.txt").write_text(line + "\n\n")
    with tarfile.open(tmp_path / "scenes.tar.gz", "w:gz") as archive:
        archive.add(scenes / "seven", "seven")
    prepare_tool.main(
        f"--source {tmp_path / 'scenes.tar.gz'} --out {tmp_path / 'set'} --points 256 --radius 1.2 --every 1 "
        f"--train {tmp_path}/train.txt --test {tmp_path}/test.txt --views 4 --image-size 20".split()
    )
    prepared = PreparedSet(tmp_path / "set")
    assert prepared.digest == PreparedSet(view_set).digest
    prepared.verify()
    assert prepared.part_names is None
    assert prepared.num_views == 4
    assert prepared.split("train").colors is not None
    with pytest.raises(ValueError, match="train has no crop that enough frames see"):
        prepare_scenes(scenes, tmp_path / "more", {"train": ["seven"]}, 64, 1.2, views=13, image_size=20)


def test_pretraining_runs_on_crops_and_their_views(view_set, tmp_path):
    config = load_config(CONFIGS / "mvnet_srunet_redkitchen.py", {"data_root": str(view_set)})
    config.model.teacher = {
        "type": "ImageNetwork",
        "trunk": "test_resnet",
        "levels": [1, 3],
        "random_weights": True,
    }
    config.model.stride = 4
    config.train_dataloader.dataset.num_points = 256
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    batch = DATASETS.build(config.train_dataloader.dataset).__getitems__(range(6))
    losses = model(mode="loss", **batch)
    assert losses["loss_contrast"] > 0
    sum(losses.values()).backward()
    stem = model.backbone.stem.weight.grad
    assert stem.isfinite().all()
    assert stem.abs().sum() > 0
    with pytest.raises(ValueError, match="the dataset must be PosedShapes or ShapesWithMaps"):
        model(mode="loss", **{key: value for key, value in batch.items() if key != "cameras"})
    with pytest.raises(ValueError, match="in_channels of the backbone is 6"):
        model(mode="loss", **{key: value for key, value in batch.items() if key != "colors"})
    torch.save({"state_dict": model.state_dict()}, tmp_path / "model.pth")
    options = (
        f"--cfg-options data_root={view_set} train_dataloader.dataset.num_points=256 "
        "model.teacher.trunk=test_resnet model.teacher.levels=[1,3] model.teacher.pretrained=False "
        "model.teacher.random_weights=True"
    )
    file = CONFIGS / "mvnet_srunet_redkitchen.py"
    shown = f"{file} {tmp_path / 'model.pth'} {tmp_path / 'x.png'} --shapes 0 --stride 2"
    draw.main(f"{shown} {options}".split())
    assert (tmp_path / "x.png").stat().st_size > 1000
    said = {"state_dict": model.state_dict(), "meta": {"cfg": config.pretty_text}}
    torch.save(said, tmp_path / "said.pth")
    shown = f"{file} {tmp_path / 'said.pth'} {tmp_path / 'y.png'} --shapes 0"
    with pytest.raises(SystemExit, match=r"model\.backbone\.voxel_size"):
        draw.main(f"{shown} {options} model.backbone.voxel_size=0.5".split())
    out = tmp_path / "match.json"
    measured = f"{file} {tmp_path / 'model.pth'} random:0 colours --stride 4 --points 64 --out {out}"
    match_views.main(f"{measured} {options}".split())
    assert '"found"' in out.read_text()
    for tool, command, wrong, reason in (
        (draw, shown, "--shapes 900", "--shapes 900 is not there; choose from 0 to"),
        (draw, shown, "--views 0 4", "--views 4 is not there; choose from 0 to 3"),
        (draw, shown, "--stride 0", "--stride is 0, must be at least 1"),
        (match_views, measured, "--stride 0", "--stride is 0, must be at least 1"),
        (match_views, measured, "--points 0", "--points is 0, must be at least 1"),
    ):
        with pytest.raises(SystemExit, match=reason):
            tool.main(f"{command} {wrong} {options}".split())


def test_matching_rests_on_features_alone(view_set):
    """Views painted with where their pixels are: features that tell find every point, others none."""
    dataset = PosedShapes(str(view_set), "test", num_points=1, views="all", depths=True)
    batch = dataset.__getitems__(range(len(dataset)))
    views = PosedViews(None, 2, 0.03)
    whole = PosedViews(None, 1, 0.03).unproject(batch["depths"], batch["cameras"])
    batch["views"] = (127.5 * (whole.points + 1)).permute(0, 1, 4, 2, 3)
    torch.manual_seed(0)
    errors, chance = matching_errors(colour_features, batch, views, 400, 0.3)
    blind, _ = matching_errors(lambda given: torch.ones_like(given["points"]), batch, views, 400, 0.3)
    assert len(errors) == len(chance) == len(blind) > 200
    assert errors.median() < 0.15
    assert chance.median() > 2 * errors.median()
    assert blind.median() > 2 * errors.median()


@pytest.mark.skipif(not KITCHEN.is_file(), reason=f"{KITCHEN} is not there")
def test_real_frames_agree(tmp_path):
    """RedKitchen: depths warped into overlapping frames agree to a median of 15 mm; colours fit."""
    with tarfile.open(KITCHEN) as archive:
        for member in archive:
            if "intrinsics" in member.name or any(
                f"-{n:06d}." in member.name for n in (150, 160, 170, 600, 610)
            ):
                archive.extract(member, tmp_path, filter="data")
    frames = list(posed_frames(tmp_path / "sevenscenes_redkitchen"))
    assert len(frames) == 5
    depth, camera = np.stack([frame.depth for frame in frames]), frames[0].camera
    poses = np.stack([frame.world_to_camera for frame in frames])
    found = correspondences(depth, camera, poses, stride=16, eps=0.1)
    points, valid = unproject(depth, camera, poses, 16)
    shares = overlap(found.found, valid)
    pairs = [(a, b) for a in range(5) for b in range(5) if a != b and shares[a, b] > 0.3]
    assert len(pairs) >= 8
    apart, colours = [], {"right": [], "shifted": []}
    for a, b in pairs:
        seen = found.found[a, b]
        column, row = found.pixel[a, b][seen].astype(int).T
        _, z = project(points[a][seen], camera, poses[b : b + 1])
        apart.append(np.abs(depth[b, row, column] - z[0]))
        own = frames[a].color[8::16, 8::16][seen].astype(float)
        for name, move in (("right", 0), ("shifted", 30)):
            other = frames[b].color[row, (column + move).clip(0, 639)]
            colours[name].append(np.abs(other - own).mean(axis=1))
    assert np.median(np.concatenate(apart)) < 0.015
    assert max(np.median(part) for part in apart) < 0.025
    assert np.median(np.concatenate(colours["right"])) < 0.7 * np.median(np.concatenate(colours["shifted"]))
    up = np.array([frame.world_to_camera[:, 2] for frame in frames])  # the world's z in the camera's axes
    assert (up[:, 1] < -0.7).all()  # cameras are upright: their y goes down
