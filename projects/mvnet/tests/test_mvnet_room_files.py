"""Meshes of ScanNet, rooms of S3DIS and frames of SUN RGB-D, as tiny folders of the right form."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pointmcd.datasets.preparation.sources import SourceError
from pointmcd.engine import load_config
from pointmcd.files import read_json
from pointmcd.registry import DATASETS, METRICS, MODELS
from projects.mvnet.mvnet.box_files import SUNRGBD10
from projects.mvnet.mvnet.boxes import box_around, read_boxes
from projects.mvnet.mvnet.detection import ScenesWithBoxes
from projects.mvnet.mvnet.frames import Y_DOWN
from projects.mvnet.mvnet.room_files import areas, read_whole
from projects.mvnet.mvnet.scene_prediction import mean_iou, point_scores
from projects.mvnet.mvnet.scenes import SCANNET20, SceneCloud, read_scene
from projects.mvnet.tests.small_scenes import OBJECTS, SMALL, options, things
from projects.mvnet.tools import evaluate_scenes, prepare_detection, prepare_scenes
from projects.mvnet.tools import read_boxes as boxes_tool

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
IDS = list(SCANNET20)


def write_ply(path, points, **columns):
    kinds = {"label": "ushort"}
    names = "".join(f"property {kinds.get(name, 'uchar')} {name}\n" for name in columns)
    axes = "".join(f"property double {axis}\n" for axis in "xyz")
    head = f"ply\nformat ascii 1.0\nelement vertex {len(points)}\n{axes}{names}end_header\n"
    rows = zip(points, *columns.values(), strict=True)
    path.write_text(head + "".join(" ".join(map(str, [*row[0], *row[1:]])) + "\n" for row in rows))


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Two scenes of ScanNet, turned as scans are, with the matrix that lays them along the axes."""
    root = tmp_path_factory.mktemp("scans")
    align = np.eye(4)
    align[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    align[:3, 3] = 1, -2, 0.5
    for number in range(2):
        name = f"scene{number:04d}_00"
        folder = root / name
        folder.mkdir()
        points, owner = things(number)
        raw = (points - align[:3, 3]) @ align[:3, :3]
        ids = np.array([entry[0] for entry in OBJECTS.values()])[owner]
        color = (40 * owner + 20).astype(int)
        colors = {"red": color, "green": color, "blue": 255 - color}
        write_ply(folder / f"{name}_vh_clean_2.ply", raw, **colors)
        write_ply(folder / f"{name}_vh_clean_2.labels.ply", raw, **colors, label=ids)
        (folder / f"{name}.txt").write_text(
            f"sceneType = Office\naxisAlignment = {' '.join(map(str, align.ravel()))}\n"
        )
        segments = {"segIndices": (10 * owner + np.arange(len(owner)) % 2).tolist()}
        (folder / f"{name}_vh_clean_2.0.010000.segs.json").write_text(json.dumps(segments))
        groups = [
            {"objectId": row, "segments": [10 * row, 10 * row + 1], "label": label}
            for row, label in enumerate(OBJECTS)
        ]
        (folder / f"{name}.aggregation.json").write_text(json.dumps({"segGroups": groups}))
    rows = [f"{row}\t{name}\t{entry[0]}\n" for row, (name, entry) in enumerate(OBJECTS.items())]
    (root / "labels.tsv").write_text("id\traw_category\tnyu40id\n" + "".join(rows) + "9\tghost\t\n")
    (root / "list.txt").write_text("scene0000_00\n")
    (root / "val.txt").write_text("scene0001_00\n")
    return root


@pytest.fixture(scope="module")
def mesh_set(scans):
    lists = f"--train {scans}/list.txt --test {scans}/val.txt --points 128 --radius 1.5"
    prepare_scenes.main(f"--form mesh --source {scans} --out {scans / 'set'} {lists}".split())
    return scans / "set"


def test_meshes_are_read_along_the_axes(scans):
    cloud = read_whole(scans / "scene0000_00", "mesh")
    points, owner = things(0)
    np.testing.assert_allclose(cloud.points, points, atol=1e-5)
    classes = [IDS.index(entry[0]) if entry[0] in IDS else 20 for entry in OBJECTS.values()]
    assert np.array_equal(cloud.classes, np.array(classes)[owner])
    assert np.array_equal(cloud.colors[:, 0], 40 * owner + 20)


def test_boxes_of_scannet_are_those_of_its_objects(scans):
    boxes_tool.main(f"scannet --source {scans} --label-map {scans / 'labels.tsv'}".split())
    for number in range(2):
        found = read_boxes(scans / f"scene{number:04d}_00/boxes.npz")
        points, owner = things(number)
        truth = [box_around(points[owner == row]) for row in (1, 2)]  # neither floor nor plant
        np.testing.assert_allclose(found.boxes, truth, atol=1e-5)
        assert found.classes.tolist() == [IDS.index(5), IDS.index(7)]
        assert found.headings is None
    (scans / "scene0001_00/scene0001_00_vh_clean_2.0.010000.segs.json").rename(scans / "away")
    with pytest.raises(SystemExit):
        boxes_tool.main(f"scannet --source {scans} --label-map {scans / 'labels.tsv'}".split())
    (scans / "away").rename(scans / "scene0001_00/scene0001_00_vh_clean_2.0.010000.segs.json")


class ByColour(torch.nn.Module):
    """Knows each point's class by its colour."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, mode, points, colors, label):
        assert points.norm(dim=-1).max() <= 1 + 1e-6
        owner = ((255 * colors[..., 0] - 20) / 40).round().long()
        return [{"part_scores": row} for row in torch.nn.functional.one_hot(owner, 4).float()]


def test_what_is_said_of_crops_is_carried_to_every_vertex():
    points, owner = things(0)
    colors = np.repeat((40 * owner + 20).astype(np.uint8)[:, None], 3, 1)
    whole = SceneCloud(points.astype(np.float32), owner.astype(np.uint16), colors)
    scores = point_scores(ByColour(), whole.thinned(0.1), whole.points, 256, 1.0, "scene", batch_size=3)
    assert scores.shape == (1600, 4)
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
    assert (scores.argmax(1) == owner).mean() > 0.99
    lone = point_scores(ByColour(), whole.rows(np.arange(1)), whole.points[:5], 4, 1.0, "one")
    assert (lone.argmax(1) == owner[0]).all()


def test_mean_iou_counts_classes_that_are_there():
    confusion = np.array([[8, 2, 0], [0, 5, 0], [0, 0, 0]])
    mean, iou = mean_iou(confusion)
    np.testing.assert_allclose(iou[:2], [8 / 10, 5 / 7])
    assert np.isnan(iou[2])
    assert mean == pytest.approx(100 * (8 / 10 + 5 / 7) / 2)


def test_scannets_protocol(mesh_set, scans, tmp_path):
    """Every labelled vertex counts once; predictions are NYU40 ids, a line each."""
    config = load_config(CONFIGS / "scene_segmentation_srunet_mesh.py", {"data_root": str(mesh_set), **SMALL})
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    batch = DATASETS.build(config.train_dataloader.dataset).__getitems__(range(4))
    model(mode="loss", **model.data_preprocessor(batch, True))["loss_task"].backward()
    assert model.backbone.stem.weight.grad.abs().sum() > 0
    metric = METRICS.build(config.val_evaluator)
    metric.process(None, model.eval()(mode="predict", **batch))
    assert "mean_iou" in metric.compute_metrics(metric.results)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "model.pth")
    command = f"{CONFIGS / 'scene_segmentation_srunet_mesh.py'} {tmp_path / 'model.pth'} --source {scans}"
    command += f" --scenes {scans / 'val.txt'} --out {tmp_path / 'out'}"
    evaluate_scenes.main([*command.split(), *options(mesh_set)])
    ids = np.loadtxt(tmp_path / "out/scene0001_00.txt", dtype=int)
    assert len(ids) == 1600
    assert set(ids.tolist()) <= set(IDS)
    figures = read_json(tmp_path / "out/results.json")
    confusion = np.array(figures["confusion"])
    cloud = read_whole(scans / "scene0001_00", "mesh")
    truth = np.bincount(cloud.classes[cloud.classes < 20], minlength=20)
    assert np.array_equal(confusion.sum(1), truth)
    guess = np.array([IDS.index(number) for number in ids])[cloud.classes < 20]
    assert np.array_equal(confusion.sum(0), np.bincount(guess, minlength=20))
    assert figures["mean_iou"] == pytest.approx(mean_iou(confusion)[0])


def test_what_lacks_is_named(tmp_path, scans):
    with pytest.raises(SourceError, match=r"has no nothing_vh_clean_2\.ply"):
        read_whole(tmp_path / "nothing", "mesh")
    with pytest.raises(SourceError, match="has no Annotations"):
        read_whole(tmp_path, "s3dis")
    with pytest.raises(SourceError, match="is it S3DIS"):
        areas(tmp_path)
    with pytest.raises(SourceError, match="mesh and s3dis have"):
        read_whole(tmp_path, "frames")
    (tmp_path / "Annotations").mkdir()
    wrong = tmp_path / "Annotations/chair_1.txt"
    wrong.write_bytes(b"0 0 0 1 2 3\n0 0 0\x10 1 2 3 9\n")
    with pytest.raises(SourceError, match=r"chair_1\.txt cannot be read.*stray byte"):
        read_whole(tmp_path, "s3dis")
    wrong.rename(wrong.with_name("piano_1.txt"))
    with pytest.raises(SourceError, match="there is no class 'piano'"):
        read_whole(tmp_path, "s3dis")


def test_frames_of_sun_rgbd(tmp_path):
    """A wall at 2 m, seen by a camera that looks down a little, and a turned chair."""
    import cv2

    tilt = 0.3
    rotation = np.array(((1, 0, 0), (0, np.cos(tilt), np.sin(tilt)), (0, -np.sin(tilt), np.cos(tilt))))
    camera = np.array(((50.0, 0, 40), (0, 50, 30), (0, 0, 1)))
    folder = tmp_path / "kv1/frame1"
    for kind in ("depth", "image", "extrinsics", "annotation3Dfinal"):
        (folder / kind).mkdir(parents=True)
    depth = np.full((60, 80), 2000, np.uint16)
    depth[0] = 0
    cv2.imwrite(str(folder / "depth/a.png"), (depth << 3) | (depth >> 13))
    cv2.imwrite(str(folder / "image/a.jpg"), np.full((60, 80, 3), (10, 100, 200), np.uint8))
    np.savetxt(folder / "intrinsics.txt", camera.reshape(1, 9))
    np.savetxt(folder / "extrinsics/1.txt", np.hstack([np.eye(3), np.zeros((3, 1))]))
    np.savetxt(folder / "extrinsics/2.txt", np.hstack([rotation, np.zeros((3, 1))]))
    cloud = read_scene(folder, stride=1, voxel=0.001)
    column, row = np.meshgrid(np.arange(80) + 0.5, np.arange(1, 60) + 0.5)
    seen = np.stack([(column - 40) / 50 * 2, (row - 30) / 50 * 2, np.full_like(row, 2)], -1).reshape(-1, 3)
    world = seen @ rotation.T @ Y_DOWN[:3, :3].T
    np.testing.assert_allclose(cloud.points, world, atol=1e-5)
    assert np.abs(cloud.colors - np.array((200, 100, 10))).max() <= 3

    angle, center, size = 0.4, np.array((0.5, 2.5)), np.array((0.8, 0.4))
    cos, sin = np.cos(angle), np.sin(angle)
    corners = np.array(((1, -1), (1, 1), (-1, 1), (-1, -1))) / 2 * size @ [[cos, sin], [-sin, cos]] + center
    outline = {"X": corners[:, 0].tolist(), "Z": corners[:, 1].tolist(), "Ymin": 0.9, "Ymax": 0.1}
    objects = [
        {"name": "chair:truncated", "polygon": [outline]},
        None,
        {"name": "wall", "polygon": [outline]},
        {"name": "night_stand", "polygon": []},
    ]
    (folder / "annotation3Dfinal/index.json").write_text(json.dumps({"objects": objects}))
    boxes_tool.main(f"sunrgbd --source {tmp_path}".split())
    found = read_boxes(folder / "boxes.npz")
    assert found.classes.tolist() == [SUNRGBD10.index("chair")]
    np.testing.assert_allclose(found.boxes[0], [*center, -0.5, *size, 0.8], atol=1e-6)
    np.testing.assert_allclose(found.headings, [angle], atol=1e-6)
    hull = np.array([*corners.min(0), *corners.max(0)])
    box = found.aligned().boxes[0]
    np.testing.assert_allclose([*(box[:2] - box[3:5] / 2), *(box[:2] + box[3:5] / 2)], hull, atol=1e-6)

    shutil.copytree(folder, tmp_path / "kv1/frame2")
    for number, split in enumerate(("train", "test"), 1):
        (tmp_path / f"{split}.txt").write_text(f"kv1/frame{number}\n")
    words = f"--source {tmp_path} --out {tmp_path}/set --classes sunrgbd --points 128 --least-points 0"
    prepare_detection.main(words.split())
    dataset = ScenesWithBoxes(f"{tmp_path}/set", "train", num_points=128)
    assert dataset.names == ["kv1/frame1"]
    assert dataset.metainfo["box_classes"] == list(SUNRGBD10)
    assert dataset.boxes[0].classes.tolist() == [SUNRGBD10.index("chair")]
    np.testing.assert_array_equal(dataset.boxes[0].boxes, [box])


def test_annotation_of_another_form_is_named(scans, tmp_path, capsys):
    name = "scene0000_00"
    shutil.copytree(scans / name, tmp_path / name)
    segments = tmp_path / name / f"{name}_vh_clean_2.0.010000.segs.json"
    whole = segments.read_text()
    command = f"scannet --source {tmp_path} --label-map {scans / 'labels.tsv'}".split()
    for text in ("[]", "{}", '{"segIndices": 3}', '{"segIndices": ["a"]}'):
        segments.write_text(text)
        with pytest.raises(SystemExit, match=rf"1 scenes have none: .*{name}"):
            boxes_tool.main(command)
    segments.write_text(whole)
    (tmp_path / "labels.tsv").write_bytes("id\traw_category\tnyu40id\n1\tcafé\t5\n".encode("latin-1"))
    with pytest.raises(SystemExit, match=r"labels\.tsv is not scannetv2-labels\.combined\.tsv"):
        boxes_tool.main([*command[:-1], str(tmp_path / "labels.tsv")])
    with open(tmp_path / name / f"{name}.txt", "ab") as file:
        file.write("sceneType = Küche\n".encode("latin-1"))
    boxes_tool.main(command)
    assert "boxes in 1 of 1 scenes" in capsys.readouterr().out
