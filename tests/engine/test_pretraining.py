"""Training without labels, and trainings that start from a pre-trained backbone."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pointmcd.engine import build_runner, load_config
from pointmcd.engine.hooks import ImageBlocksHook, constant_view_loss
from pointmcd.evaluation.encoders import build_encoder
from pointmcd.models.teachers.trunks import build_trunk

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
TINY = {
    "train_dataloader.batch_size": 8,
    "train_dataloader.dataset.num_points": 64,
    "train_cfg.max_epochs": 1,
}


def tiny(name, data, work_dir, **more):
    config = load_config(CONFIGS / f"{name}.py", {"data_root": str(data), **TINY, **more})
    config.work_dir = str(work_dir)
    return config


def frozen(data, work_dir, checkpoint):
    """A training whose steps change nothing but running statistics, from a checkpoint."""
    config = tiny("baseline_pointnet_modelnet", data, work_dir, **{"test_dataloader.dataset.num_points": 64})
    config.optim_wrapper.optimizer.update(lr=0.0, weight_decay=0.0)
    config.param_scheduler = []
    config.val_cfg = config.val_dataloader = config.val_evaluator = None
    config.custom_hooks.append({"type": "PretrainedBackboneHook", "checkpoint": str(checkpoint)})
    return config


def saved(work_dir, epoch=1, key="state_dict"):
    return torch.load(work_dir / f"epoch_{epoch}.pth", weights_only=True)[key]


def backbone_of(state, prefix="backbone."):
    """Parameters alone: running statistics move."""
    names = ("weight", "bias")
    return {
        key.removeprefix(prefix): value
        for key, value in state.items()
        if key.startswith(prefix) and key.endswith(names)
    }


def assert_equal(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.fixture
def checkpoints(tmp_path):
    """Two checkpoints of different PointNets."""
    paths = []
    for seed in (7, 8):
        encoder = build_encoder({"backbone": {"type": "PointNet"}}, seed=seed)
        paths.append(tmp_path / f"pretrained_{seed}.pth")
        torch.save({"state_dict": encoder.state_dict()}, paths[-1])
    return paths


def test_a_student_learns_without_labels(taught_set, tmp_path):
    config = tiny("pointmcd_pointnet_unlabelled", taught_set, tmp_path, **{"train_cfg.max_epochs": 4})
    runner = build_runner(config)
    assert runner.val_loop is None
    runner.train()
    state = saved(tmp_path, 4)
    assert not any(key.startswith(("head.", "teacher.")) for key in state)
    assert any(key.startswith("backbone.") for key in state)

    descriptors = np.load(taught_set / "teachers/frozen/train_view_descriptors.npy").astype(np.float32)
    log = next(tmp_path.glob("*/*.log")).read_text()
    expected = constant_view_loss(descriptors, "cosine")
    assert f"The best constant has a loss_view of {expected:.4f}" in log
    (scalars,) = tmp_path.glob("*/vis_data/scalars.json")
    losses = [json.loads(line)["loss_view"] for line in scalars.read_text().splitlines()]
    assert len(losses) == 4
    assert losses[-1] < losses[0]


def test_the_best_constant_is_the_median_of_each_channel():
    rng = np.random.default_rng(0)
    descriptors = rng.gamma(1.0, size=(21, 3, 5)).astype(np.float16)
    found = constant_view_loss(descriptors)
    rows = descriptors.reshape(-1, 5).astype(np.float64)
    best = np.mean([min(np.abs(column - value).mean() for value in column) for column in rows.T])
    assert found == pytest.approx(best, rel=1e-6)
    assert constant_view_loss(descriptors, most=21) == found
    assert constant_view_loss(descriptors, most=2) == pytest.approx(constant_view_loss(descriptors[[0, 20]]))


def test_the_best_constant_by_cosine_is_the_mean_direction():
    """No direction among many is nearer, and the mean one is as near as is said."""
    rng = np.random.default_rng(0)
    descriptors = rng.normal(0.3, 1, (21, 3, 5))
    found = constant_view_loss(descriptors, "cosine")
    units = descriptors.reshape(-1, 5) / np.linalg.norm(descriptors.reshape(-1, 5), axis=1, keepdims=True)
    tried = np.vstack([units.mean(0), rng.normal(size=(2000, 5))])
    tried /= np.linalg.norm(tried, axis=1, keepdims=True)
    distances = 1 - (units @ tried.T).mean(0)
    assert distances.argmin() == 0
    assert found == pytest.approx(distances[0], rel=1e-5)


def test_a_training_starts_from_the_backbone_and_ema_with_it(taught_set, tmp_path, checkpoints):
    config = frozen(taught_set, tmp_path / "a", checkpoints[0])
    config.custom_hooks.insert(0, {"type": "EMAHook", "momentum": 0.1})
    runner = build_runner(config)
    head = {key: value.clone() for key, value in runner.model.head.state_dict().items()}
    runner.train()
    expected = backbone_of(torch.load(checkpoints[0], weights_only=True)["state_dict"])
    assert_equal(backbone_of(saved(tmp_path / "a")), expected)
    assert_equal(backbone_of(saved(tmp_path / "a", key="ema_state_dict"), "module.backbone."), expected)
    trained = saved(tmp_path / "a")
    assert torch.equal(trained["head.classifier.weight"], head["classifier.weight"])

    before = saved(tmp_path / "a")
    runner.test()  # does not load it a second time
    for key, value in runner.model.backbone.state_dict().items():
        assert torch.equal(value, before[f"backbone.{key}"])


def test_a_resumed_training_goes_on_from_its_own(taught_set, tmp_path, checkpoints):
    build_runner(frozen(taught_set, tmp_path / "a", checkpoints[0])).train()
    config = frozen(taught_set, tmp_path / "b", checkpoints[1])
    config.train_cfg.max_epochs = 2
    config.resume, config.load_from = True, str(tmp_path / "a/epoch_1.pth")
    build_runner(config).train()
    assert_equal(backbone_of(saved(tmp_path / "b", 2)), backbone_of(saved(tmp_path / "a")))


def test_a_test_needs_no_pretrained_checkpoint(taught_set, tmp_path, checkpoints):
    build_runner(frozen(taught_set, tmp_path / "a", checkpoints[0])).train()
    config = frozen(taught_set, tmp_path / "b", tmp_path / "none.pth")
    config.load_from = str(tmp_path / "a/epoch_1.pth")
    assert 0 <= build_runner(config).test()["overall_accuracy"] <= 100


def test_another_backbone_is_refused(taught_set, tmp_path):
    other = build_encoder({"backbone": {"type": "DGCNN"}})
    torch.save({"state_dict": other.state_dict()}, tmp_path / "dgcnn.pth")
    with pytest.raises(
        ValueError,
        match=r"(?s)does not hold the backbone of this config \(PointNet\).*missing: .*unexpected: ",
    ):
        build_runner(frozen(taught_set, tmp_path / "a", tmp_path / "dgcnn.pth")).train()


@pytest.mark.parametrize("name", ["pointmcd_dgcnn_shapenetcore", "pointmcd_pointnet_shapenetcore"])
def test_missing_data_and_teacher_say_how_to_get_them(name, tiny_set, tmp_path):
    with pytest.raises(ValueError, match=r"holds no prepared shapes[\s\S]*pointmcd prepare"):
        load_config(CONFIGS / f"{name}.py", {"data_root": str(tmp_path / "shapenetcore")})
    with pytest.raises(FileNotFoundError, match=r"(?s)teachers/autoencoder.*pointmcd cache-teacher"):
        build_runner(tiny(name, tiny_set, tmp_path))


def test_a_training_starts_from_the_blocks_of_an_image_network(taught_set, tmp_path):
    image = build_trunk("vit_tiny_patch16_224", depth=2).state_dict()
    torch.save(image, tmp_path / "vit.pth")
    config = tiny(
        "baseline_pointtransformer_meshes",
        taught_set,
        tmp_path / "run",
        **{"model.backbone.depth": 2, "test_dataloader.dataset.num_points": 64},
    )
    config.optim_wrapper.optimizer.update(lr=0.0, weight_decay=0.0)
    config.param_scheduler = []
    config.val_cfg = config.val_dataloader = config.val_evaluator = None
    config.custom_hooks.append({"type": "ImageBlocksHook", "checkpoint": str(tmp_path / "vit.pth")})
    build_runner(config).train()
    after = saved(tmp_path / "run")
    blocks = [key for key in image if key.startswith("blocks.")]
    assert len(blocks) == 24
    assert all(torch.equal(after[f"backbone.{key}"], image[key]) for key in blocks)


def test_image_blocks_are_of_one_source_and_for_a_transformer(taught_set, tmp_path):
    with pytest.raises(ValueError, match="takes either network"):
        ImageBlocksHook()
    config = frozen(taught_set, tmp_path / "run", tmp_path)
    config.custom_hooks[-1] = {"type": "ImageBlocksHook", "checkpoint": "vit.pth"}
    with pytest.raises(ValueError, match="a PointNet has no blocks"):
        build_runner(config).train()
