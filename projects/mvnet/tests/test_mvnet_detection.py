"""Boxes found by votes: losses and figures by hand-made scenes and plain twins, and the way from rooms."""

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pointmcd.files import read_json
from pointmcd.registry import DATASETS, MODELS, TRANSFORMS
from projects.mvnet.mvnet.boxes import box_around
from projects.mvnet.mvnet.detection import BoxMetric, ScenesWithBoxes
from projects.mvnet.mvnet.detection.losses import assign, center_loss, objectness_loss, vote_loss
from projects.mvnet.mvnet.detection.rooms import FREE, furnished_room
from projects.mvnet.mvnet.room import WALL
from projects.mvnet.mvnet.scenes import SCANNET20
from projects.mvnet.tools import compare_detection

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
SRUNET = {
    "type": "SRUNet",
    "voxel_size": 0.1,
    "stem_channels": 8,
    "channels": (8, 16),
    "blocks": (1, 1),
    "decoder_channels": (16, 16),
    "decoder_blocks": (1, 1),
    "out_channels": 16,
}
POINTNET2 = {
    "type": "PointNet2Seg",
    "num_points": (32, 8),
    "scales": (
        ({"radius": 0.3, "k": 8, "channels": (8, 16)},),
        ({"radius": 0.6, "k": 8, "channels": (16, 16)},),
    ),
    "channels": (16, 16),
    "propagation": ((16,), (16,), (16,)),
}


def detector(backbone, **head):
    torch.manual_seed(0)
    given = {"type": "VoteHead", "object_classes": 20, "num_proposals": 16, "k": 8, "channels": 32, **head}
    return MODELS.build({"type": "VoteNet", "backbone": backbone, "num_seeds": 96, "head": given})


# Figures


def test_losses_of_a_scene_by_hand():
    """Two boxes, one within the other's reach, and one that is padding and lies where the seeds are."""
    boxes = torch.tensor([[[0, 0, 0, 2, 2, 2], [1, 0, 0, 1, 1, 1], [5, 5, 5, 9, 9, 9.0]]])
    there = torch.tensor([[True, True, False]])
    seeds = torch.tensor([[[-0.9, 0, 0], [0.8, 0, 0], [5, 5, 5], [0, 0, 1.005]]])
    votes = torch.tensor([[[0.1, 0.2, -0.3], [0.9, 0, 0], [0, 0, 0], [0, 0, 0.5]]])
    # The first is off by 0.6 in all; the second lies in both, and is off by 0.1 from (1, 0, 0); the third is
    # in none; the fourth is a margin above the first box, off by 0.5.
    assert vote_loss(seeds, votes, boxes, there, 0.01) == pytest.approx((0.6 + 0.1 + 0.5) / 3)
    assert vote_loss(seeds, votes, boxes, there, 0.0) == pytest.approx((0.6 + 0.1) / 2)
    clusters = torch.tensor([[[0, 0.2, 0], [0.5, 0, 0], [1.1, 0, 0], [5, 5, 5.0]]])
    objectness, nearest = assign(clusters, boxes, there)
    assert objectness.tolist() == [[1, -1, 1, 0]]
    assert nearest[0, [0, 2]].tolist() == [0, 1]
    logits = torch.tensor([[[0, 0], [9, -9], [0, 0], [0, math.log(3)]]])
    # 0.8 ln 2 twice, 0.2 ln 4 once, over the three that count
    expected = (0.8 * math.log(2) * 2 + 0.2 * math.log(4)) / 3
    assert objectness_loss(logits, objectness) == pytest.approx(expected)
    centers = torch.tensor([[[0, 0.1, 0], [7, 7, 7], [1, 0, 0.2], [5, 5, 5.0]]])
    # both objects are met and meet at squares 0.01 and 0.04
    assert center_loss(centers, boxes, there, objectness == 1) == pytest.approx(0.025 + 0.025)


@given(st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_targets_agree_with_a_plain_twin(seed):
    """Which seeds vote for which centre, and which clusters stand for which object, one at a time."""
    draw = np.random.default_rng(seed)
    boxes = np.concatenate([draw.uniform(-1, 1, (2, 3, 3)), draw.uniform(0.2, 2, (2, 3, 3))], 2)
    there = draw.random((2, 3)) < 0.7
    seeds, votes, clusters = draw.uniform(-1.5, 1.5, (3, 2, 20, 3))
    apart, objectness, nearest = [], [], []
    for scene in range(2):
        true = [row for row in range(3) if there[scene, row]]
        for place, vote in zip(seeds[scene], votes[scene], strict=True):
            inside = [
                row for row in true if (abs(place - boxes[scene, row, :3]) <= boxes[scene, row, 3:] / 2).all()
            ]
            apart += [min(abs(vote - boxes[scene, row, :3]).sum() for row in inside)] if inside else []
        for place in clusters[scene]:
            distance = {row: math.dist(place, boxes[scene, row, :3]) for row in true}
            best = min(distance, key=distance.get, default=None)
            least = math.inf if best is None else distance[best]
            objectness.append(1 if least < 0.5 else 0 if least > 1 else -1)
            nearest.append(best)
    given_boxes, given_there = torch.from_numpy(boxes), torch.from_numpy(there)
    loss = vote_loss(torch.from_numpy(seeds), torch.from_numpy(votes), given_boxes, given_there, 0.0)
    assert loss.item() == pytest.approx(np.mean(apart) if apart else 0)
    found, of_box = assign(torch.from_numpy(clusters), given_boxes, given_there, 0.5, 1.0)
    assert found.flatten().tolist() == objectness
    assert all(
        row == best for row, best in zip(of_box.flatten().tolist(), nearest, strict=True) if best is not None
    )


def test_exact_votes_and_sizes_find_every_box_of_a_room(room_set):
    """From the prepared set to the figure: what is true of a room has AP 100 on it, at both overlaps."""
    batch = ScenesWithBoxes(str(room_set), "train", num_points=256).__getitems__([0, 1])
    boxes, classes = batch["boxes"], batch["box_classes"]
    head = MODELS.build(
        {"type": "VoteHead", "in_channels": 1, "local_channels": 4, "object_classes": 20, "least_points": 0}
    )
    points, (center, size) = batch["points"], boxes.unsqueeze(1).split(3, -1)
    inside = ((points.unsqueeze(2) - center).abs() <= size / 2 + head.margin).all(-1)
    inside &= (classes >= 0).unsqueeze(1)
    owner = inside.float().argmax(-1, keepdim=True)
    votes = boxes[..., :3].gather(1, owner.expand(-1, -1, 3)).where(inside.any(-1, keepdim=True), points)
    sure = torch.where(classes.unsqueeze(-1) >= 0, torch.tensor((-20.0, 20.0)), torch.tensor((20.0, -20.0)))
    found = {
        "seeds": points,
        "votes": votes,
        "clusters": boxes[..., :3],
        "objectness": sure,
        "centers": boxes[..., :3],
        "log_sizes": boxes[..., 3:].clamp(min=0.01).log(),
        "class_logits": 30 * torch.eye(20)[classes.clamp(min=0)],
    }
    assert inside.sum() > 20
    losses = head.loss(found, batch)
    assert losses["loss_vote"] < 1e-6
    assert max(losses[f"loss_{name}"] for name in ("center", "size", "semantic")) < 1e-6
    metric = BoxMetric()
    metric.process(None, head.predict(found, batch))
    assert set(metric.compute_metrics(metric.results).values()) == {100}


def test_the_head_is_right_where_it_should_be():
    """What a head says that is right has losses near 0, and comes back as the true boxes with AP 100."""
    head = MODELS.build(
        {"type": "VoteHead", "in_channels": 1, "local_channels": 4, "object_classes": 3, "num_proposals": 4}
    )
    boxes = torch.tensor([[[0, 0, 0.5, 1, 1, 1], [3, 0, 0.4, 2, 1, 0.8], [0, 0, 0, 0, 0, 0]]])
    classes = torch.tensor([[2, 0, -1]])
    found = {
        "seeds": torch.tensor([[[0.4, 0, 0.5], [3.5, 0, 0.4], [9, 9, 9]]]),
        "votes": torch.tensor([[[0, 0, 0.5], [3, 0, 0.4], [1, 1, 1]]]),
        "clusters": torch.tensor([[[0, 0, 0.5], [3, 0, 0.4], [9, 9, 9], [3.1, 0, 0.4]]]),
        "objectness": torch.tensor([[[-20, 20], [-20, 20], [20, -20], [-19, 19]]]).float(),
        "centers": torch.tensor([[[0, 0, 0.5], [3, 0, 0.4], [9, 9, 9], [3, 0, 0.4]]]),
        "log_sizes": torch.tensor([[[1, 1, 1], [2, 1, 0.8], [1, 1, 1], [2, 1, 0.8]]]).log(),
        "class_logits": 30 * torch.eye(3)[torch.tensor([[2, 0, 1, 0]])],
    }
    points = torch.cat([boxes[:, :2, :3].repeat(1, 8, 1), torch.full((1, 1, 3), 9.0)], 1)
    batch = {"points": points, "boxes": boxes, "box_classes": classes, "index": torch.tensor([7])}
    assert all(0 <= loss < 1e-6 for loss in head.loss(found, batch).values())
    (row,) = head.predict(found, batch)
    assert row["index"] == 7
    best = row["box_scores"] > 0.5
    assert best.sum() == 2  # one is not an object, and the double is suppressed
    np.testing.assert_allclose(row["boxes"][best], boxes[0, :2].numpy(), atol=1e-6)
    assert row["box_classes"][best].tolist() == [2, 0]
    metric = BoxMetric()
    metric.process(None, [row])
    assert metric.compute_metrics(metric.results) == dict.fromkeys(
        ("ap25", "ap50", "recall25", "recall50"), 100
    )
    wrong = {**found, "log_sizes": found["log_sizes"] + 1, "class_logits": -found["class_logits"]}
    losses = head.loss(wrong, batch)
    assert losses["loss_size"] == pytest.approx(0.5)  # smooth L1 of 1
    assert losses["loss_semantic"] == pytest.approx(0.1 * (30 + math.log(2)), rel=1e-4)
    with pytest.raises(ValueError, match="weights has votes"):
        MODELS.build(
            {"type": "VoteHead", "in_channels": 1, "local_channels": 4, "object_classes": 3}
            | {"weights": {"votes": 1}}
        )


def test_a_box_that_is_a_little_too_small_is_kept():
    """A scan holds the faces of a cabinet alone: a box that lies 2 cm within them has no point inside."""
    head = MODELS.build({"type": "VoteHead", "in_channels": 1, "local_channels": 4, "object_classes": 1})
    faces = torch.tensor(list(product((-1.0, 0, 1), repeat=3)))
    points = 0.5 * faces[faces.abs().amax(1) == 1]  # of a cube of 1 m
    found = {
        "objectness": torch.tensor([[[-9.0, 9], [-9, 9]]]),
        "centers": torch.tensor([[[0.0, 0, 0], [3, 0, 0]]]),
        "log_sizes": torch.full((1, 2, 3), 0.96).log(),
        "class_logits": torch.zeros(1, 2, 1),
    }
    (row,) = head.predict(found, {"points": points[None]})
    np.testing.assert_allclose(row["boxes"], [[0, 0, 0, 0.96, 0.96, 0.96]], rtol=1e-6)  # the other is empty


def test_a_scene_without_boxes_teaches_what_is_none():
    head = MODELS.build(
        {"type": "VoteHead", "in_channels": 1, "local_channels": 4, "object_classes": 3, "num_proposals": 4}
    )
    torch.manual_seed(0)
    found = head(torch.randn(2, 8, 3), torch.randn(2, 8, 4), torch.rand(2, 8, 1))
    losses = head.loss(found, {"boxes": torch.zeros(2, 1, 6), "box_classes": torch.full((2, 1), -1)})
    assert losses["loss_objectness"] > 0
    assert all(losses[f"loss_{name}"] == 0 for name in ("vote", "center", "size", "semantic"))
    sum(losses.values()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


# Network


@pytest.mark.parametrize("backbone", [SRUNET, POINTNET2], ids=lambda config: config["type"])
def test_shapes_and_gradients(backbone, room_set):
    model = detector(backbone)
    batch = DATASETS.build(
        {"type": "ScenesWithBoxes", "data_root": str(room_set), "split": "train", "num_points": 256}
    ).__getitems__([0, 1])
    features = model(mode="tensor", **batch)
    shapes = {"votes": (2, 96, 3), "clusters": (2, 16, 3), "centers": (2, 16, 3), "class_logits": (2, 16, 20)}
    assert {name: tuple(features[name].shape) for name in shapes} == shapes
    apart = (features["seeds"].unsqueeze(2) - batch["points"].unsqueeze(1)).abs().sum(-1)
    assert apart.amin(-1).max() == 0  # seeds are points, in metres
    # all proposals are objects, so that every loss has something to say
    batch["boxes"] = torch.cat([features["clusters"].detach(), torch.ones(2, 16, 3)], -1)
    batch["box_classes"] = torch.arange(16).repeat(2, 1)
    sum(model(mode="loss", **batch).values()).backward()
    idle = {name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()}
    unused = {"backbone.fusion"} if backbone is SRUNET else set()  # its decoder does not read the whole
    assert {name.rsplit(".", 2)[0] for name in idle} <= unused


def test_the_unit_is_that_of_the_backbone(room_set):
    batch = ScenesWithBoxes(str(room_set), "test", num_points=256)[0]
    model = detector(POINTNET2).eval()
    plain = model.student_features(batch["points"])
    model.unit = 2.0
    halved = model.student_features(2 * batch["points"])
    torch.testing.assert_close(halved["local_feats"], plain["local_feats"])
    torch.testing.assert_close(halved["seeds"], 2 * plain["seeds"])


def test_height_is_above_the_floor_wherever_that_is(room_set):
    batch = ScenesWithBoxes(str(room_set), "test", num_points=256)[0]
    model = detector(SRUNET).eval()
    found = [model.student_features(batch["points"] + torch.tensor([0, 0, 0.2 * step])) for step in (0, 2)]
    torch.testing.assert_close(found[1]["votes"], found[0]["votes"] + torch.tensor([0, 0, 0.4]))


def test_overfits_a_room(room_set):
    """Forty steps on one room bring the votes nearer to the centres, so that every loss has its objects."""
    model = detector(POINTNET2, weights={"semantic": 1.0}, near=0.6, far=0.9)
    batch = ScenesWithBoxes(str(room_set), "train", num_points=256)[0]
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    votes = []
    for _ in range(40):
        losses = model(mode="loss", **batch)
        votes.append(losses["loss_vote"].item())
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    assert np.mean(votes[-3:]) < 0.6 * np.mean(votes[:3])
    assert all(losses[f"loss_{name}"] > 0 for name in ("objectness", "center", "size", "semantic"))


# Scenes


@pytest.mark.parametrize("seed", range(6))
def test_furniture_stands_apart_and_in_its_boxes(seed):
    room, boxes = furnished_room(seed)
    again, _ = furnished_room(seed)
    assert room == again
    pieces = [box for box in room if box.label not in (1, 2)]
    names = list(SCANNET20)
    low, high = boxes.boxes[:, :3] - boxes.boxes[:, 3:] / 2, boxes.boxes[:, :3] + boxes.boxes[:, 3:] / 2
    filled = [[] for _ in boxes.boxes]
    for piece in pieces:
        corners = np.array(
            [np.array(piece.center) + np.array(s) * piece.size / 2 for s in product((-1, 1), repeat=3)]
        )
        holds = ((corners >= low[:, None] - 1e-5) & (corners <= high[:, None] + 1e-5)).all((1, 2))
        (owner,) = np.flatnonzero(holds)
        assert names[boxes.classes[owner]] == piece.label
        filled[owner].append(corners)
    for box, corners in zip(boxes.boxes, filled, strict=True):  # smallest boxes around their pieces
        np.testing.assert_allclose(box_around(np.concatenate(corners)), box, atol=1e-5)
    assert low[:, 2] == pytest.approx(0, abs=1e-6)
    walls = [np.abs(box.center) - np.array(box.size) / 2 for box in room if box.label == WALL]
    assert (np.abs(boxes.boxes[:, :2]) + boxes.boxes[:, 3:5] / 2 <= np.max(walls, 0)[:2] + 1e-5).all()
    for one, other in product(range(len(low)), repeat=2):
        if one != other:
            assert (low[one, :2] > high[other, :2]).any() or (low[other, :2] > high[one, :2]).any()
    assert ((low[:, :2] >= FREE).any(1) | (high[:, :2] <= -FREE).any(1)).all()


@given(st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_boxes_move_with_their_points(seed):
    """The box around moved points is the moved box."""
    torch.manual_seed(seed)
    points = torch.randn(3, 20, 3)
    boxes = torch.from_numpy(np.stack([box_around(cloud) for cloud in points.numpy()]))[:, None]
    moved = TRANSFORMS.build({"type": "MoveScene"})({"points": points, "boxes": boxes})
    for cloud, box, before in zip(moved["points"], moved["boxes"], boxes, strict=True):
        np.testing.assert_allclose(box_around(cloud.numpy()), box[0], atol=1e-5)
        assert 0.9 <= (box[0, 5] / before[0, 5]) <= 1.1
    # up stays up: heights keep their order
    assert torch.equal(moved["points"][..., 2].argsort(1), points[..., 2].argsort(1))


def test_scratch_and_pretrained_are_compared(room_set, tmp_path, capsys):
    config = tmp_path / "own.py"
    config.write_text(f"_base_ = '{CONFIGS}/detection_srunet_rooms.py'\n")
    small = {**SRUNET, "type": None}
    options = [f"model.backbone.{key}={value}" for key, value in small.items() if value is not None]
    options += [f"data_root={room_set}", "model.num_seeds=64", "model.head.num_proposals=8"]
    options += ["train_dataloader.batch_size=2", "train_cfg.max_epochs=1"]
    options += [f"{loader}_dataloader.dataset.num_points=256" for loader in ("train", "val", "test")]
    words = [str(config), "--seeds", "0", "--out", str(tmp_path / "runs")]
    torch.manual_seed(3)
    given = MODELS.build(SRUNET)
    state = {f"backbone.{key}": value for key, value in given.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "start.pth")
    words += ["--pretrained", str(tmp_path / "start.pth"), "--cfg-options", *options]
    compare_detection.main(words)
    shown = capsys.readouterr().out
    assert "AP50" in shown
    assert "AP50, pretrained - scratch: " in shown
    report = read_json(tmp_path / "runs/detection.json")
    of_seed = [report[side]["ap25"]["mean"] for side in ("scratch", "pretrained")]
    assert report["gain"]["ap25"]["mean"] == pytest.approx(of_seed[1] - of_seed[0])
    before = (tmp_path / "runs/scratch_s0/result.json").stat().st_mtime_ns
    compare_detection.main(words)
    assert (tmp_path / "runs/scratch_s0/result.json").stat().st_mtime_ns == before
    with pytest.raises(SystemExit, match="each seed counts once"):
        compare_detection.main([*words, "--seeds", "0", "1", "0"])
    with pytest.raises(SystemExit, match="another cfg_options"):
        compare_detection.main([*words, "train_cfg.max_epochs=2"])
    config.write_text(config.read_text() + "optim_wrapper = dict(optimizer=dict(lr=1e-4))\n")
    with pytest.raises(SystemExit, match="another config_sha256"):
        compare_detection.main(words)
