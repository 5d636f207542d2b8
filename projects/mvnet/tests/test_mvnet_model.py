"""MVNet as a whole: every config, what a checkpoint holds, masks, caches, the frozen network."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pointmcd.engine import load_config
from pointmcd.engine.pretrained import load_backbone
from pointmcd.models.teachers.trunks import build_trunk
from pointmcd.registry import DATASETS, MODELS
from projects.mvnet.mvnet import ImageNetwork
from projects.mvnet.mvnet.map_cache import MapCache
from projects.mvnet.mvnet.transfer import DECODERS, take_backbone
from projects.mvnet.mvnet.views import grid_positions

FOLDER = Path(__file__).resolve().parents[1] / "configs"
CONFIGS = sorted(path for path in FOLDER.glob("mvnet_*.py") if "redkitchen" not in path.stem)  # of scenes
DOWNSTREAM = sorted(path for path in FOLDER.glob("*_builtin.py") if path not in CONFIGS)
NETWORK = {"type": "ImageNetwork", "trunk": "test_resnet", "levels": [1, 3], "random_weights": True}


def fitted_to(root, path):
    """The config on tiny data, its image network without weights."""
    overrides = {"data_root": str(root), "train_dataloader.dataset.num_points": 128}
    config = load_config(path, overrides)
    if config.model.teacher.type == "ImageNetwork":
        overrides |= {"model.teacher": NETWORK}
        config.model.teacher = NETWORK
    if config.model.backbone.type == "PointNet2Seg":
        config.model.backbone.num_points = [32, 8]
    return config


def build(root, **changes):
    config = fitted_to(root, FOLDER / "mvnet_dgcnn_builtin.py")
    for name, value in changes.items():
        config.model[name] = value
    torch.manual_seed(0)
    return MODELS.build(config.model), DATASETS.build(config.train_dataloader.dataset)


class LocalAlone(torch.nn.Module):
    """In place of the decoder: local features as they are."""

    def forward(self, local, whole):
        return local


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_one_step(path, cached_set):
    config = fitted_to(cached_set, path)
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    dataset = DATASETS.build(config.train_dataloader.dataset)
    losses = model(mode="loss", **model.data_preprocessor(dataset.__getitems__(range(4)), True))
    assert {"loss_transfer", "loss_coordinates", "loss_contrast"} <= losses.keys()
    assert 0 < losses["loss_transfer"] < 2
    assert all(loss > 0 for loss in losses.values())
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        if name.startswith("teacher."):
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, f"{name} has no gradient"
            assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("path", DOWNSTREAM, ids=lambda path: path.stem)
def test_one_step_of_what_comes_before_and_after(path, cached_set):
    overrides = {"data_root": str(cached_set)}
    if not path.stem.startswith("teacher"):
        overrides["train_dataloader.dataset.num_points"] = 128
    config = load_config(path, overrides)
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    dataset = DATASETS.build(config.train_dataloader.dataset)
    losses = model(mode="loss", **model.data_preprocessor(dataset.__getitems__(range(4)), True))
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_autoencoder_is_an_image_network(cached_set, tmp_path):
    """What demo.sh does: the trunk of a trained autoencoder gives the maps of its own levels."""
    config = load_config(FOLDER / "teacher_autoencoder_builtin.py", {"data_root": str(cached_set)})
    torch.manual_seed(0)
    teacher = MODELS.build(config.model).eval()
    torch.save({"state_dict": teacher.state_dict()}, tmp_path / "teacher.pth")
    pretraining = load_config(FOLDER / "mvnet_dgcnn_builtin.py", {"data_root": str(cached_set)})
    network = MODELS.build({**pretraining.model.teacher, "checkpoint": str(tmp_path / "teacher.pth")})
    views = torch.rand(2, 1, 3, 64, 64)
    level = teacher.trunk(views[:, 0])[2]
    positions = (torch.arange(8) + 0.5) / 8
    (_, found, _) = network.maps({"views": views}, positions)
    torch.testing.assert_close(found[:, 0], level.permute(0, 2, 3, 1))


@pytest.mark.parametrize("kind", ["PointNet2Seg", "SRUNet"])
def test_encoder_alone_or_with_its_decoder(cached_set, tmp_path, kind):
    name = {"PointNet2Seg": "mvnet_pointnet2_builtin", "SRUNet": "mvnet_srunet_builtin"}[kind]
    config = fitted_to(cached_set, FOLDER / f"{name}.py")
    torch.manual_seed(1)
    model = MODELS.build(config.model)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "trained.pth")
    trained = model.backbone.state_dict()
    decoder = {key for key in trained if key.startswith(DECODERS[kind])}
    assert decoder
    kept, restarted, dropped = (
        take_backbone(config.model.backbone, tmp_path / "trained.pth", how)
        for how in ("keep", "restart", "drop")
    )
    assert kept.keys() == restarted.keys() == {f"backbone.{key}" for key in trained}
    assert dropped.keys() == {f"backbone.{key}" for key in trained.keys() - decoder}
    for key, value in trained.items():
        assert torch.equal(kept[f"backbone.{key}"], value)
        if key not in decoder:
            assert torch.equal(restarted[f"backbone.{key}"], value)
    changed = [key for key in decoder if not torch.equal(restarted[f"backbone.{key}"], trained[key])]
    assert len(changed) >= len([key for key in decoder if trained[key].ndim > 1])
    torch.save({"state_dict": restarted}, tmp_path / "encoder.pth")
    load_backbone(model.backbone, tmp_path / "encoder.pth")
    saved = {"state_dict": model.state_dict(), "meta": {"cfg": config.pretty_text}}
    torch.save(saved, tmp_path / "said.pth")
    take_backbone(config.model.backbone, tmp_path / "said.pth")
    changed = {"PointNet2Seg": {"num_points": [16, 4]}, "SRUNet": {"voxel_size": 0.3}}[kind]
    with pytest.raises(ValueError, match=rf"model\.backbone\.{next(iter(changed))}: .* in the checkpoint"):
        take_backbone({**config.model.backbone, **changed}, tmp_path / "said.pth")
    with pytest.raises(ValueError, match="DGCNNSeg has no decoder of its own"):
        take_backbone({"type": "DGCNNSeg"}, tmp_path / "trained.pth", "restart")
    with pytest.raises(ValueError, match="choose keep, restart or drop"):
        take_backbone(config.model.backbone, tmp_path / "trained.pth", "half")


def test_a_backbone_whose_local_features_need_those_of_points(cached_set):
    model, dataset = build(cached_set, backbone={"type": "PointNet"})
    losses = model(mode="loss", **dataset.__getitems__(range(4)))
    sum(losses.values()).backward()
    assert "loss_tnet" in losses
    grads = {name: parameter.grad for name, parameter in model.named_parameters() if "teacher" not in name}
    assert all(grad is not None for grad in grads.values())


@pytest.mark.parametrize("name", ["mvnet_dgcnn_builtin", "mvnet_srunet_builtin"])
def test_mixed_precision_says_nearly_the_same(cached_set, name):
    config = fitted_to(cached_set, FOLDER / f"{name}.py")
    config.model.mask_ratio, config.model.augment = 0, []
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    batch = DATASETS.build(config.train_dataloader.dataset).__getitems__(range(6))
    losses = []
    for enabled in (False, True):
        torch.manual_seed(1)  # of the pairs and pixels that are drawn
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            losses.append(model(mode="loss", **batch))
    sum(losses[1].values()).backward()
    for key, whole in losses[0].items():
        torch.testing.assert_close(losses[1][key].float(), whole, rtol=0.05, atol=0.01)


def test_both_losses_fall(cached_set):
    model, dataset = build(cached_set, mask_ratio=0.3)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 3e-3)
    history = []
    for _ in range(16):
        losses = model(mode="loss", **dataset.__getitems__(range(8)))
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append({name: loss.item() for name, loss in losses.items()})
    for name in ("loss_transfer", "loss_contrast"):
        first, last = (np.mean([row[name] for row in part]) for part in (history[:4], history[-4:]))
        assert last < 0.9 * first, name


def test_the_frozen_network_is_no_part_of_the_checkpoint(cached_set):
    model, _ = build(cached_set)
    state = model.train().state_dict()
    assert {key.partition(".")[0] for key in state} == {
        "backbone",
        "decoder",
        "transfer",
        "correspondence",
    }
    assert not any(module.training for module in model.teacher.modules())
    model.load_state_dict(state, strict=True)
    del state["decoder.second.weight"]
    with pytest.raises(RuntimeError, match="Missing key"):
        model.load_state_dict(state, strict=True)


def test_the_backbone_starts_a_segmentation_network(cached_set):
    model, dataset = build(cached_set)
    backbone = fitted_to(cached_set, FOLDER / "mvnet_dgcnn_builtin.py").model.backbone
    head = {"type": "PartSegmentationHead", "num_classes": 3, "num_parts": 11}
    student = MODELS.build({"type": "PointModel", "backbone": backbone, "head": head})
    missing = student.load_state_dict(model.state_dict(), strict=False).missing_keys
    assert {key.partition(".")[0] for key in missing} == {"head"}
    batch = dataset.__getitems__([0, 1])
    ours, theirs = (net.eval().backbone(batch["points"])["point_feats"] for net in (model, student))
    assert torch.equal(ours, theirs)


def test_view_maps_hold_the_features_of_the_points_seen(cached_set):
    """With the points' own coordinates as features, a map shows where the surface is."""
    model, dataset = build(cached_set)
    model.eval()
    model.student_features = lambda points: {"local_feats": points, "global_feats": None, "losses": {}}
    model.decoder = LocalAlone()
    batch = dataset.__getitems__(range(6))
    surface = model.views.unproject(batch["depths"], model.views.cameras(batch))
    maps, _ = model.view_maps(batch, surface)
    assert (maps[~surface.valid] == 0).all()
    apart = (maps - surface.points)[surface.valid].norm(dim=-1)
    assert apart.median() < 0.1
    nearest = torch.cdist(surface.points.flatten(1, 3), batch["points"]).amin(-1).view(surface.valid.shape)
    assert (apart <= 3 * nearest[surface.valid] + 0.3).all()


def test_the_encoder_is_given_what_the_mask_leaves(cached_set):
    model, dataset = build(cached_set, mask_ratio=0.75, mask_patches=8)
    batch, given = dataset.__getitems__([0, 1]), []
    whole = model.student_features
    model.student_features = lambda points: given.append(points) or whole(points)
    model.train()(mode="loss", **batch)
    model.eval()(mode="loss", **batch)
    assert [points.shape[1] for points in given] == [32, 128]
    assert torch.equal(given[1], batch["points"])  # neither mask nor augmentation


def test_a_cache_says_what_the_network_says(cached_set):
    torch.manual_seed(0)
    network = MODELS.build(NETWORK)
    dataset = DATASETS.build(
        {
            "type": "ShapesWithMaps",
            "maps": "autoencoder",
            "data_root": str(cached_set),
            "split": "test",
            "num_points": 8,
            "views": 2,
        }
    )
    batch = dataset.__getitems__([4, 1])
    cached = MODELS.build({"type": "CachedMaps", "data_root": str(cached_set), "name": "autoencoder"})
    positions = grid_positions(64, 8)
    assert cached.channels == network.channels == [32, 192]
    for level, expected in zip(cached.maps(batch, positions), network.maps(batch, positions), strict=True):
        assert level.shape == expected.shape
        torch.testing.assert_close(level, expected, rtol=2e-3, atol=2e-3)
    with pytest.raises(ValueError, match=r"grid of stride 8 \(8 nodes a side\), the model's has 16"):
        cached.maps(batch, grid_positions(64, 4))
    with pytest.raises(ValueError, match="the batch has no maps"):
        cached.maps({}, positions)


def test_teacher_and_dataset_are_of_one_cache(cached_set):
    path = FOLDER / "mvnet_dgcnn_builtin_cached.py"
    config = load_config(path, {"data_root": str(cached_set), "model.teacher.name": "mobilenetv2"})
    model = MODELS.build(config.model)
    config.train_dataloader.dataset.num_points = 128
    batch = DATASETS.build(config.train_dataloader.dataset).__getitems__([0, 1])
    with pytest.raises(ValueError, match=r"is the cache mobilenetv2 .*, but the dataset reads autoencoder "):
        model(mode="loss", **model.data_preprocessor(batch, True))


def test_a_cache_of_other_data_is_refused(cached_set, tiny_set, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no finished cache .*cache_maps CONFIG --name absent"):
        MapCache(cached_set, "absent")
    other = tmp_path / "set"
    shutil.copytree(tiny_set, other)
    shutil.copytree(cached_set / "maps", other / "maps")
    with pytest.raises(ValueError, match="belongs to data with digest"):
        MapCache(other, "autoencoder")


def test_an_image_network_needs_weights(tmp_path):
    with pytest.raises(ValueError, match="needs weights: give checkpoint=FILE, or pretrained=True"):
        ImageNetwork("test_resnet", [0])
    with pytest.raises(ValueError, match=r"levels are \[9\], but test_resnet has the levels 0 to 4"):
        ImageNetwork("test_resnet", [9], random_weights=True)
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth do not fit this trunk"):
        ImageNetwork("test_resnet", [1], checkpoint=str(tmp_path / "other.pth"))


@pytest.mark.parametrize("form", ["timm", "teacher", "pyramid"])
def test_weights_come_from_a_file(tmp_path, form):
    torch.manual_seed(0)
    trunk = build_trunk("test_resnet")
    for name, value in trunk.named_buffers():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
    state = trunk.state_dict()
    if form == "teacher":
        state = {f"trunk.{key}": value for key, value in state.items()} | {"head.weight": torch.zeros(1)}
    elif form == "pyramid":
        body = build_trunk("test_resnet")
        body.load_state_dict(trunk.state_dict())
        state = {f"trunk.body.{key.replace('.', '_', 1)}": value for key, value in state.items()}
    state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    torch.save({"state_dict": state}, tmp_path / "weights.pth")
    network = ImageNetwork("test_resnet", [3], checkpoint=str(tmp_path / "weights.pth"))
    images = torch.rand(2, 1, 3, 64, 64)
    mean, std = (torch.tensor(network.settings[name]).view(3, 1, 1) for name in ("mean", "std"))
    expected = trunk.eval().forward_intermediates(
        (images[:, 0] - mean) / std, indices=[3], intermediates_only=True
    )[0]
    positions = (torch.arange(4) + 0.5) / 4  # the centres of the level's own cells
    (found,) = network.maps({"views": images}, positions)
    torch.testing.assert_close(found[:, 0], expected.permute(0, 2, 3, 1))


def test_vit_blocks_and_resizing():
    torch.manual_seed(0)
    network = ImageNetwork(
        "test_vit",
        [1, 5],
        trunk_options={"dynamic_img_size": True},
        random_weights=True,
        resize_to=96,
    )
    found = network.maps({"views": torch.zeros(1, 2, 3, 64, 64, dtype=torch.uint8)}, grid_positions(64, 8))
    assert [level.shape for level in found] == [(1, 2, 8, 8, 64)] * 2
    network.settings["input_size"] = 0
    with pytest.raises(ValueError, match=r"patches of 16 px, .* images of 72 px: .*resize_to=64"):
        network.maps({"views": torch.zeros(1, 2, 3, 72, 72)}, grid_positions(72, 8))


def test_what_lacks_is_named(cached_set):
    model, dataset = build(cached_set)
    batch = dataset.__getitems__([0])
    with pytest.raises(ValueError, match="prepare the set with --depths"):
        model(mode="loss", **{key: value for key, value in batch.items() if key != "depths"})
    with pytest.raises(ValueError, match="the batch has no views"):
        model(mode="loss", **{key: value for key, value in batch.items() if key != "views"})
    with pytest.raises(ValueError, match="the backbone SRUNet does not have"):
        build(cached_set, backbone={"type": "SRUNet", "decoder_channels": None})
