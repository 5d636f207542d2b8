"""Parts of one's own, in a module outside the package, from preparation to the exported student."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pointmcd.apis import load_student
from pointmcd.commands import export_student, prepare_data, test, train
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.engine import load_config
from pointmcd.models import PointModel
from pointmcd.registry import HOOKS, MODELS, SOURCES, TRANSFORMS

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
PARTS = '''
import torch
from mmengine.hooks import Hook
from torch import nn

from pointmcd.models.backbones import PointBackbone
from pointmcd.models.heads import ClassificationHead
from pointmcd.models.layers import LinearNormAct, shared_mlp
from pointmcd.registry import HOOKS, MODELS, TRANSFORMS


@MODELS.register_module()
class OwnBackbone(PointBackbone):
    def __init__(self, in_channels: int = 3, widths: list[int] = [16], drop: float = 0.1) -> None:
        super().__init__(in_channels)
        torch.linspace(0, drop, 4).tolist()  # what many networks do, and the meta device cannot
        self.layers = shared_mlp(in_channels, *widths)
        self.fusion = LinearNormAct(widths[-1], 32)

    def encode(self, points):
        self.check(points)
        return {"hidden": self.layers(points), "point_index": None, "losses": {}}


@MODELS.register_module()
class OwnHead(ClassificationHead):
    """Logits of half the size."""

    def forward(self, features):
        return {name: value / 2 for name, value in super().forward(features).items()}


@TRANSFORMS.register_module()
class Flip:
    def __init__(self, axis: int) -> None:
        self.axis = axis

    def __call__(self, batch):
        points = batch["points"].clone()
        points[..., self.axis] *= -1
        return {**batch, "points": points}


@HOOKS.register_module()
class StepCounter(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        runner.message_hub.update_info("own_steps", batch_idx + 1)
'''

CONFIG = """
_base_ = ["{configs}/baseline_pointnet_modelnet.py"]
custom_imports = dict(imports=["own_parts"])
model = dict(
    backbone=dict(_delete_=True, type="OwnBackbone", widths=[8, 16]),
    head=dict(type="OwnHead"),
    data_preprocessor=dict(transforms=[dict(type="Flip", axis=0)]),
)
custom_hooks = [dict(type="SeedHook"), dict(type="PlainCheckpointHook"), dict(type="StepCounter")]
train_dataloader = dict(batch_size=24, dataset=dict(num_points=64))
val_dataloader = dict(dataset=dict(num_points=64))
test_dataloader = dict(dataset=dict(num_points=64))
train_cfg = dict(max_epochs=1)
"""

SOURCE = """
import numpy as np

from pointmcd.datasets.preparation.sources import Item, Shape, Source
from pointmcd.registry import SOURCES


@SOURCES.register_module(name="own-shells")
class Shells(Source):
    '''Half spheres of two sizes of a cap.'''

    surfaces = False
    normals = False
    class_names = ["wide", "narrow"]

    def __init__(self, count: int, seed: int) -> None:
        self.items = [Item(f"{s}_{i}", i % 2, s) for s in ("train", "test") for i in range(count)]

    @staticmethod
    def add_arguments(parser):
        parser.add_argument("--count", type=int, default=4)

    def load(self, item):
        points = np.random.default_rng(item.label).normal(size=(300, 3))
        points[:, 2] = abs(points[:, 2]) + item.label
        return Shape(points=(points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32))
"""


@pytest.fixture
def forget():
    """Forget what modules of one's own registered, as a new process would not know it; also at the end."""
    registries = (MODELS, TRANSFORMS, HOOKS, SOURCES)

    def forget_own():
        for registry in registries:
            for name, part in list(registry.module_dict.items()):
                if part.__module__.startswith("own_"):
                    del registry.module_dict[name]
        for module in [name for name in sys.modules if name.startswith("own_")]:
            del sys.modules[module]

    yield forget_own
    forget_own()


@pytest.fixture
def own(tmp_path, monkeypatch, forget):
    """A folder on Python's path with modules of one's own."""
    (tmp_path / "own_parts.py").write_text(PARTS)
    (tmp_path / "own_source.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_own_parts_train_are_tested_exported_and_loaded(own, taught_set, forget):
    config = own / "own_config.py"
    config.write_text(CONFIG.format(configs=CONFIGS))
    options = ["--cfg-options", f"data_root={taught_set}"]
    train.main([str(config), "--work-dir", str(own / "work"), *options])
    checkpoint = own / "work/epoch_1.pth"
    assert torch.load(checkpoint, weights_only=True)["message_hub"]["runtime_info"]["own_steps"] == 1
    test.main([str(config), str(checkpoint), *options])
    report = json.loads((own / "work/test_epoch_1.json").read_text())
    student = own / "student.pth"
    export_student.main([str(config), str(checkpoint), str(student), *options])

    forget()
    with pytest.raises(ValueError, match=r"'OwnBackbone', which is no part of pointmcd; .*imports=\["):
        load_student(student)
    with pytest.raises(ValueError, match="module own_prats cannot be imported: No module named 'own_prats'"):
        load_student(student, imports=["own_prats"])
    loaded = load_student(student, imports=["own_parts"])
    points = torch.tensor(np.array(PreparedSet(taught_set).split("test").points[:, :64]))
    assert loaded.probabilities(points).argmax(1).tolist() == report["predictions"]


def test_a_module_that_is_not_there_is_named(own, taught_set):
    config = own / "own_config.py"
    config.write_text(CONFIG.format(configs=CONFIGS).replace("own_parts", "own_prats"))
    with pytest.raises(ValueError, match=r"own_config\.py: No module named 'own_prats'; .* PYTHONPATH$"):
        load_config(config, {"data_root": str(taught_set)})


def test_an_own_source_is_prepared(own, tmp_path, capsys):
    words = ["--imports", "own_source", "own-shells", "--count", "2", "--points", "32", "--no-views"]
    assert prepare_data.main([*words, "--workers", "0", "--out", str(tmp_path / "set")]) == 0
    prepared = PreparedSet(tmp_path / "set")
    assert prepared.class_names == ["wide", "narrow"]
    assert prepared.split("train").points.shape == (2, 32, 3)


def test_a_source_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SystemExit, match="the module own_nothing cannot be imported"):
        prepare_data.main(["--imports", "own_nothing", "builtin", "--out", str(tmp_path / "set")])


def test_a_plain_module_is_no_backbone():
    MODELS.register_module("own_plain", force=True, module=torch.nn.Linear)
    try:
        with pytest.raises(
            ValueError, match=r"^the backbone own_plain is no PointBackbone; derive it from .*$"
        ):
            PointModel({"type": "own_plain", "in_features": 3, "out_features": 8})
    finally:
        del MODELS.module_dict["own_plain"]
