"""Components of one's own in files outside the package: those of docs/examples, and what a mistake says."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import Registry

from pointmcd import registry
from pointmcd.apis import load_student
from pointmcd.commands import export_student, prepare_data, test, train
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.engine import load_config
from pointmcd.models import PointModel
from pointmcd.models.backbones import PointBackbone
from pointmcd.models.layers import LinearNormAct
from pointmcd.registry import MODELS

EXAMPLES = Path(__file__).resolve().parents[1] / "docs/examples"


def prepare_balls(out):
    words = ["--imports", "my_source", "--imports", "my_rig", "my-balls", "--count", "4", "--rig", "cube6"]
    words += ["--points", "128", "--image-size", "32", "--workers", "0", "--out", str(out)]
    assert prepare_data.main(words) == 0
    return PreparedSet(out)


def test_own_components_are_prepared_train_are_tested_exported_and_loaded(tmp_path, forget_examples):
    prepared = prepare_balls(tmp_path / "balls")
    assert prepared.class_names == ["flat", "tall"]
    assert prepared.manifest["rig"]["elevation_deg"] == [0, 0, 0, 0, 90, -90]
    config, work = EXAMPLES / "my_config.py", tmp_path / "work"
    options = ["--cfg-options", f"data_root={tmp_path / 'balls'}", "train_cfg.max_epochs=1"]
    train.main([str(config), "--work-dir", str(work), *options])
    checkpoint = work / "epoch_1.pth"
    saved = torch.load(checkpoint, weights_only=True)
    assert saved["message_hub"]["runtime_info"]["my_steps"] == 2
    assert {"backbone.layers.0.linear.weight", "head.classifier.weight"} <= saved["state_dict"].keys()
    test.main([str(config), str(checkpoint), *options])
    report = json.loads((work / "test_epoch_1.json").read_text())
    assert 0 <= report["calibration_error"] <= 100
    student = tmp_path / "student.pth"
    export_student.main([str(config), str(checkpoint), str(student), *options])

    forget_examples()
    with pytest.raises(ValueError, match=r"'PointMLP', which is not part of pointmcd; .*imports=\["):
        load_student(student)
    with pytest.raises(
        ValueError, match="module my_backbon cannot be imported: No module named 'my_backbon'"
    ):
        load_student(student, imports=["my_backbon"])
    loaded = load_student(student, imports=["my_backbone", "my_head"])
    points = torch.tensor(np.array(prepared.split("test").points))
    assert loaded.probabilities(points).argmax(1).tolist() == report["predictions"]


def test_every_example_is_used(forget_examples):
    """But for the operation, which has a test of its own, and what --imports names."""
    imports = load_config(EXAMPLES / "my_config.py", {"data_root": None}).custom_imports["imports"]
    named = {*imports, "my_source", "my_file_source", "my_rig", "my_op", "my_config", "my_training"}
    assert {path.stem for path in EXAMPLES.glob("*.py")} == named


def test_every_registry_has_an_example():
    """But those of MMEngine's own machinery: wrappers of optimizers, processors of logs, functions."""
    text = "".join(path.read_text() for path in EXAMPLES.glob("*.py"))
    registries = {
        name for name, one in vars(registry).items() if isinstance(one, Registry) and name.isupper()
    }
    without = {name for name in registries if f"@{name}.register_module" not in text}
    assert without == {"OPTIM_WRAPPERS", "LOG_PROCESSORS", "FUNCTIONS", "VISUALIZERS"}
    contributing = (EXAMPLES.parents[1] / "CONTRIBUTING.md").read_text()
    named = {path.name for path in EXAMPLES.glob("*.py")} - {"my_training.py"}
    assert {name for name in named if f"(docs/examples/{name})" not in contributing} == set()


def test_the_losses_of_the_examples_reach_the_student(tmp_path, forget_examples):
    """Each loss alone gives every parameter that it should train a gradient."""
    prepare_balls(tmp_path / "balls")
    config = load_config(EXAMPLES / "my_config.py", {"data_root": str(tmp_path / "balls")})
    model = MODELS.build(config.model).train()
    points = torch.rand(4, 64, 3) - 0.5
    batch = {"points": points, "label": torch.tensor([0, 1, 0, 1])}
    batch["visibility"] = torch.randint(0, 2**6, (4, 64), dtype=torch.int32)
    losses = model.loss(batch)
    assert losses.keys() == {"loss_task", "loss_relations", "loss_view"}
    for name, loss in losses.items():
        model.zero_grad()
        loss.backward(retain_graph=True)
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.backbone.parameters()), name


def test_the_relational_loss_is_zero_for_the_same_relations(forget_examples):
    import my_loss

    rows = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    turn = torch.linalg.qr(torch.randn(7, 7, generator=torch.Generator().manual_seed(1)))[0]
    head = my_loss.RelationalHead()
    same = head.loss({"global_feats": rows}, {"descriptor": 3 * rows @ turn + 1})
    assert same["loss_relations"].item() == pytest.approx(0, abs=1e-9)
    other = head.loss({"global_feats": rows}, {"descriptor": rows.flip(0) ** 2})
    assert other["loss_relations"] > 0.01


def test_the_mean_of_views_against_loops(forget_examples):
    import my_neck

    generator = torch.Generator().manual_seed(0)
    feats = torch.rand(2, 5, 3, generator=generator, dtype=torch.double)
    masks = torch.randint(0, 8, (2, 9), generator=generator, dtype=torch.int32)
    masks &= 3  # nobody sees from the third view
    index = torch.stack([torch.randperm(9, generator=generator)[:5] for _ in range(2)])
    pooled = my_neck.MeanOfViews(3)(feats, masks, index, with_global=True)
    for b in range(2):
        for v in range(3):
            seen = [feats[b, m] for m in range(5) if masks[b, index[b, m]] >> v & 1]
            expected = torch.stack(seen).mean(0) if seen else torch.zeros(3, dtype=torch.double)
            torch.testing.assert_close(pooled[b, v], expected)
    torch.testing.assert_close(pooled[:, 3], feats.amax(1))


def test_an_own_operation_agrees_with_its_twin_and_can_be_compiled(forget_examples):
    from my_op import neighbor_mean, neighbor_mean_reference

    generator = torch.Generator().manual_seed(0)
    feats = torch.randn(2, 6, 3, generator=generator, dtype=torch.double, requires_grad=True)
    neighbors = torch.randint(0, 6, (2, 6, 4), generator=generator)
    torch.testing.assert_close(neighbor_mean(feats, neighbors), neighbor_mean_reference(feats, neighbors))
    assert torch.autograd.gradcheck(neighbor_mean, (feats, neighbors))
    torch.library.opcheck(torch.ops.pointmcd.my_neighbor_mean.default, (feats, neighbors))
    with pytest.raises(ValueError, match=r"neighbors.*\(2, 5, 4\)"):
        neighbor_mean(feats, neighbors[:, :5])


def test_the_calibration_error_of_known_confidences(forget_examples):
    import my_metric

    metric = my_metric.Calibration(bins=10)
    # 4 shapes of confidence 0.75, 3 of them right; 2 of 0.95, none right
    results = [(0.75, True)] * 3 + [(0.75, False)] + [(0.95, False)] * 2
    assert metric.compute_metrics(results)["calibration_error"] == pytest.approx(100 * 2 * 0.95 / 6)


def test_a_metric_that_keeps_nothing_is_named(forget_examples):
    import my_metric

    with pytest.raises(ValueError, match=r"^Calibration kept nothing: its process adds to self\.results$"):
        my_metric.Calibration().evaluate(4)


def test_a_module_that_is_not_there_is_named(tmp_path, taught_set):
    config = tmp_path / "own_config.py"
    config.write_text(
        f'_base_ = ["{EXAMPLES / "my_config.py"}"]\ncustom_imports = dict(imports=["my_prats"])\n'
    )
    with pytest.raises(ValueError, match=r"own_config\.py: No module named 'my_prats'; .* PYTHONPATH$"):
        load_config(config, {"data_root": str(taught_set)})


def test_a_source_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SystemExit, match="the module own_nothing cannot be imported"):
        prepare_data.main(["--imports", "own_nothing", "builtin", "--out", str(tmp_path / "set")])


@pytest.mark.parametrize("arguments", [{}, {"in_features": 3, "out_features": 8}], ids=["none", "its own"])
def test_a_plain_module_is_no_backbone(arguments):
    MODELS.register_module("own_plain", force=True, module=torch.nn.Linear)
    try:
        with pytest.raises(
            ValueError, match=r"^the backbone own_plain is not a PointBackbone; derive it from .*$"
        ):
            PointModel({"type": "own_plain", **arguments})
    finally:
        del MODELS.module_dict["own_plain"]
    with pytest.raises(ValueError, match="the backbone is None, must be a type"):
        PointModel(None)


class Own(PointBackbone):
    """A backbone; the cases below change one thing of it."""

    def __init__(self):
        super().__init__()
        self.fusion = LinearNormAct(3, 8)

    def encode(self, points):
        return {"hidden": points, "point_index": None, "losses": {}}


class NoFusion(Own):
    def __init__(self):
        PointBackbone.__init__(self)


class PlainFusion(Own):
    def __init__(self):
        super().__init__()
        self.fusion = torch.nn.Linear(3, 8)


class NoEncode(PointBackbone):
    pass


class GivesTensor(Own):
    def encode(self, points):
        return points


class GivesHiddenAlone(Own):
    def encode(self, points):
        return {"hidden": points}


class ChannelsFirst(Own):
    def encode(self, points):
        return {**super().encode(points), "hidden": points.transpose(1, 2)}


class DropsPoints(Own):
    def encode(self, points):
        return {**super().encode(points), "hidden": points[:, ::2]}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (NoFusion, "the backbone NoFusion has no self.fusion that is a"),
        (PlainFusion, "the backbone PlainFusion has no self.fusion that is a"),
        (NoEncode, "the backbone NoEncode lacks encode"),
        (GivesTensor, "GivesTensor.encode returns a Tensor, must be a dict"),
        (GivesHiddenAlone, "GivesHiddenAlone.encode returns no point_index and no losses"),
        (ChannelsFirst, r"ChannelsFirst.encode returns hidden of shape \(2, 3, 6\), must be \(2, 6, 3\)"),
        (DropsPoints, r"DropsPoints.encode returns hidden of shape \(2, 3, 3\), must be \(2, 6, 3\)"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_a_backbone_must_give_is_said(kind, message, own_types):
    points = torch.rand(2, 6, 3)
    assert PointModel(own_types(Own))(mode="tensor", points=points)["global_feats"].shape == (2, 8)
    with pytest.raises(ValueError, match=message):
        PointModel(own_types(kind))(mode="tensor", points=points)
