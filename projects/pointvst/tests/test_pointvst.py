"""PointVST: its images by hand, what a view's code depends on, and training up to fine-tuning."""

from pathlib import Path

import pytest
import torch
from mmengine.runner import load_state_dict

from pointmcd.commands import finetune
from pointmcd.engine import build_runner, load_config
from pointmcd.registry import DATASETS, MODELS
from projects.pointvst.pointvst.model import ViewCode
from projects.pointvst.pointvst.targets import EDGE, images_of

CONFIG = Path(__file__).resolve().parents[1] / "configs/pointvst_dgcnn_builtin.py"
INF = float("inf")


def tiny(root, **changes):
    return load_config(
        CONFIG,
        {
            "data_root": str(root),
            "train_dataloader.dataset.num_points": 64,
            "train_dataloader.batch_size": 4,
            "model.backbone.k": 4,
            "model.channels": 32,
            "train_cfg.max_epochs": 1,
            **changes,
        },
    )


def test_images_by_hand():
    """A slope in front of a far wall's pixel, and nothing on the right."""
    near = 2.0
    depths = torch.tensor(
        [
            [near, near + EDGE / 2, INF],
            [near, near + 1, INF],
            [near, near, near],
        ]
    )
    found = images_of(depths, 3.0)
    assert found.silhouette.tolist() == [[1, 1, 0], [1, 1, 0], [1, 1, 1]]
    torch.testing.assert_close(found.depth[0], torch.tensor([1.0, 1 - EDGE / 2, 0.0]))
    # the frame's edge is nothing, too; the far pixel is one for the empty one on its right
    assert found.contour.tolist() == [[1, 1, 0], [1, 1, 0], [1, 1, 1]]
    inner = torch.full((5, 5), near)
    inner[2, 2] = near + 1
    assert images_of(inner, 3.0).contour[1:4, 1:4].tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]


def test_gradient_of_a_views_code():
    torch.manual_seed(0)
    code = ViewCode(3, 4).double().eval()
    directions = torch.nn.functional.normalize(torch.randn(2, 2, 3).double(), dim=-1)
    seen = torch.rand(2, 2, 5) < 0.5
    feats = torch.randn(2, 5, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda feats: code(feats, directions, seen), feats)


def test_a_code_is_of_the_points_seen_in_any_order():
    torch.manual_seed(0)
    code = ViewCode(3, 4).double().eval()
    directions = torch.nn.functional.normalize(torch.randn(1, 2, 3).double(), dim=-1)
    seen = torch.tensor([[[True, False, True, False], [False, False, False, False]]])
    feats = torch.randn(1, 4, 3).double()
    found = code(feats, directions, seen)
    other = feats.clone()
    other[:, [1, 3]] += 1
    torch.testing.assert_close(code(other, directions, seen)[:, 0], found[:, 0])
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(code(feats[:, order], directions, seen[..., order]), found)
    assert found.isfinite().all()  # a view that sees nothing, too
    alone = [code(feats[:, [point]], directions[:, :1], seen[:, :1, [0]])[0, 0] for point in (0, 2)]
    between = torch.stack(alone).sort(0).values  # a mean of the two, by weights
    assert ((between[0] <= found[0, 0] + 1e-12) & (found[0, 0] <= between[1] + 1e-12)).all()
    assert (between[0] < between[1]).any()


def test_masks_and_views_go_together(parts_set):
    """The bit of a view decides which points its code is of; the images are of the true size and place."""
    config = tiny(parts_set)
    torch.manual_seed(0)
    model = MODELS.build(config.model).eval()
    batch = DATASETS.build(config.train_dataloader.dataset).__getitems__([0, 1])
    heard = []
    model.code.register_forward_hook(lambda module, inputs, output: heard.append(inputs))
    made, _ = model.images(batch["points"], batch["visibility"], batch["view_index"])
    (_, directions, seen) = heard[0]
    assert made.depth.shape == (2, 2, 64, 64)
    for shape in range(2):
        for place, view in enumerate(batch["view_index"][shape].tolist()):
            expected = [bool(int(mask) >> view & 1) for mask in batch["visibility"][shape]]
            assert seen[shape, place].tolist() == expected
            # points that a camera sees lie on its side, more than others
            side = batch["points"][shape] @ directions[shape, place]
            assert side[seen[shape, place]].mean() > side[~seen[shape, place]].mean()


def test_the_targets_are_depths_of_the_points(parts_set):
    """Points seen by a view lie where its depth target says, to within the pixel."""
    from pointmcd.datasets.prepared_set import PreparedSet
    from pointmcd.geometry import CameraRig

    batch = DATASETS.build(tiny(parts_set).train_dataloader.dataset).__getitems__([0])
    rig = CameraRig.from_dict(PreparedSet(parts_set).manifest["rig"])
    depth = images_of(batch["depths"], rig.distance).depth[0]
    pixel, along = rig.project(batch["points"][0].numpy(), 64)
    for place, view in enumerate(batch["view_index"][0].tolist()):
        seen = (batch["visibility"][0] >> view & 1).bool().numpy()
        column, row = pixel[view, seen].astype(int).T
        apart = abs(depth[place].numpy()[row, column] - (rig.distance - along[view, seen]))
        assert sorted(apart)[len(apart) // 2] < 0.02


def test_training_and_what_comes_of_it(parts_set, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = tiny(parts_set, work_dir=str(tmp_path / "work"))
    runner = build_runner(config)
    runner.train()
    checkpoint = tmp_path / "work/epoch_1.pth"
    model = MODELS.build(config.model)
    load_state_dict(model, torch.load(checkpoint)["state_dict"], strict=True)
    losses = model(mode="loss", **DATASETS.build(config.train_dataloader.dataset).__getitems__(range(4)))
    assert losses.keys() == {"loss_silhouette", "loss_depth", "loss_contour"}
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    small = {name: value for name, value in config.model.backbone.items() if name != "type"}
    finetune.main(
        [
            "baseline_dgcnn_meshes",
            "--pretrained",
            str(checkpoint),
            *("--fractions", "100", "--seeds", "0", "--min-share", "1", "--out", "tuned", "--cfg-options"),
            f"data_root={parts_set}",
            "model.backbone.type=DGCNNSeg",
            *(f"model.backbone.{name}={value}" for name, value in small.items()),
            "train_cfg.max_epochs=1",
            "train_dataloader.batch_size=4",
            *(f"{name}_dataloader.dataset.num_points=64" for name in ("train", "val", "test")),
        ]
    )
    assert (tmp_path / "tuned/finetune.json").is_file()


def test_what_is_drawn_comes_nearer(parts_set):
    config = tiny(parts_set, **{"train_dataloader.dataset.views": "all"})
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    batch = DATASETS.build(config.train_dataloader.dataset).__getitems__(range(4))
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    history = []
    for _ in range(15):
        losses = model(mode="loss", **batch)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append(losses)
    for name, loss in history[-1].items():
        assert loss < 0.8 * history[0][name], name


def test_what_lacks_is_named(parts_set):
    config = tiny(parts_set)
    model = MODELS.build(config.model)
    batch = DATASETS.build(config.train_dataloader.dataset).__getitems__([0])
    with pytest.raises(ValueError, match="prepare the set with --depths"):
        model(mode="loss", **{key: value for key, value in batch.items() if key != "depths"})
