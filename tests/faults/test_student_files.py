"""The file of a student is data: whatever it says, nothing runs, and one message says what is wrong."""

import copy
import os
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from pointmcd.apis import Student, load_student
from pointmcd.apis.student_file import FORMAT, _is_part
from pointmcd.models import PointModel
from pointmcd.models.backbones import PointBackbone
from pointmcd.registry import MODELS

CLOUD = np.random.default_rng(0).normal(size=(200, 3))


def small(backbone, head):
    """A good file of a small network with random weights."""
    torch.manual_seed(0)
    model = {"type": "PointModel", "backbone": backbone, "head": head}
    return {
        "format": FORMAT,
        "model": model,
        "state_dict": PointModel(backbone, head).state_dict(),
        "class_names": ["box", "cone", "torus"],
        "num_points": 64,
        "points": {"num_points": 128, "up": "z", "seed": 0, "normalization": "bounding_box"},
    }


@pytest.fixture
def exported():
    backbone = {"type": "DGCNN", "channels": [8, [8, 8]], "k": 4, "out_channels": 16}
    return small(backbone, {"type": "ClassificationHead", "num_classes": 3, "channels": 8})


@pytest.fixture
def segmenter():
    head = {"type": "PartSegmentationHead", "num_classes": 3, "num_parts": 4, "channels": [8]}
    return small({"type": "PointNet", "out_channels": 16}, head) | {
        "part_names": ["side", "tip", "base", "ring"],
        "class_parts": [[0], [1, 2], [3]],
    }


@pytest.fixture
def load(tmp_path):
    """Write a file and load it."""

    def write_and_load(exported):
        torch.save(exported, tmp_path / "student.pth")
        return load_student(tmp_path / "student.pth")

    return write_and_load


def named(value):
    """Id of a parameter of a test; some values are too long to be written."""
    return value if isinstance(value, str) else type(value).__name__


def put(exported, where, value):
    """Set what lies at a dotted place."""
    *parents, last = where.split(".")
    for parent in parents:
        exported = exported[int(parent) if isinstance(exported, list) else parent]
    exported[int(last) if isinstance(exported, list) else last] = value


def test_good_files_are_used(exported, segmenter, load):
    predictions = load(exported).classify(CLOUD)
    assert sum(prediction.probability for prediction in predictions) == pytest.approx(1)
    assert set(load(segmenter).segment(CLOUD, "cone").parts) <= {1, 2}


@pytest.mark.parametrize("where", ["model", "model.backbone", "model.head", "model.backbone.channels.0"])
@pytest.mark.parametrize(
    "attack",
    [
        {"type": "subprocess.Popen", "args": ["touch", "ran"]},
        {"type": "os.system", "command": "touch ran"},
        {"type": "builtins.exec", "source": "open('ran', 'w')"},
        {"type": "pathlib.Path.touch", "self": "ran"},
        {"type": "attack.Backbone"},
        {"type": "Backbone", "_scope_": "attack"},
        {"type": "attack::Backbone"},
    ],
    ids=lambda attack: attack["type"],
)
def test_no_name_in_a_file_is_imported_or_called(exported, load, where, attack, tmp_path, monkeypatch):
    # were it imported, the module beside the file would leave a file too
    (tmp_path / "attack.py").write_text("open('ran', 'w').close()")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    put(exported, where, attack)
    with pytest.raises(ValueError, match="is not a student that can be used"):
        load(exported)
    assert not os.path.exists("ran")


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        # registered, but no part of a student: teachers fetch and read files, others read folders
        ("model.type", "PointMCD", "a student is a PointModel"),
        (
            "model.backbone",
            {"type": "MultiViewTeacher", "num_classes": 3, "pretrained": True},
            "which is not a (backbone|head)",
        ),
        (
            "model.head",
            {"type": "AutoencoderTeacher", "checkpoint": "x.pth"},
            "which is not a (backbone|head)",
        ),
        (
            "model.head",
            {"type": "CachedTeacher", "data_root": "/", "name": "x"},
            "which is not a (backbone|head)",
        ),
        (
            "model.backbone",
            {"type": "ClassificationHead", "num_classes": 3},
            "which is not a (backbone|head)",
        ),
        ("model.head", {"type": "PointNet"}, "which is not a (backbone|head)"),
        # registered in a parent of the registry, not in pointmcd's own
        ("model.backbone", {"type": "ToyModel"}, "not part of pointmcd.*imports="),
        ("model.backbone", {"type": "StackedAverageDataPreprocessor"}, "not part of pointmcd"),
        ("model.backbone", {"type": "mmengine.BaseDataPreprocessor"}, "not part of pointmcd"),
        ("model.backbone", None, "not described by a type"),
        ("model.backbone", {"type": nn.Linear.__name__, "in_features": 3}, "not part of pointmcd"),
        ("model.head", "ClassificationHead", "not described by a type"),
        ("model.backbone._scope_", "mmengine", "takes no argument '_scope_'"),
        ("model.data_preprocessor", {"type": "PointPreprocessor"}, "not consist of a backbone and a head"),
        ("model.backbone.pretrained", True, "takes no argument 'pretrained'"),
        ("model.backbone.checkpoint", "x.pth", "takes no argument 'checkpoint'"),
        ("model.backbone.init_cfg", {"type": "Pretrained"}, "takes no argument 'init_cfg'"),
        ("model.backbone.k", {"type": "os.getcwd"}, "k of its backbone, DGCNN, cannot be"),
        ("model.backbone.k", "4", "k of its backbone, DGCNN, cannot be '4'"),
        ("model.backbone.k", True, "cannot be True"),
        ("model.backbone.k", -1, "takes -1 neighbours"),
        ("model.backbone.channels", 8, "cannot be 8"),
        ("model.backbone.channels", [8, "8"], "channels of its backbone"),
        ("model.head.channels", 16, "its weights do not fit its model"),
        ("model.head.dropout", float("nan"), "head.dropout is nan"),
        ("model.head.smoothing", torch.zeros(1), "of type Tensor"),
        # more than anybody's memory holds
        ("model.backbone.out_channels", 10**9, "a student's values are at most"),
        ("model.backbone.out_channels", 10**100, "a student's values are at most"),
        ("model.backbone.out_channels", 10**5, "of another shape: backbone.fusion.linear.weight"),
        ("model.backbone.channels", [8] * 10**4, "more arguments than any"),
        ("model.backbone.channels", [[[[[[[[[8]]]]]]]]], "more arguments than any"),
        ("model.backbone.k", 10**5, "neighbours of 64 points"),
        ("num_points", 10**12, "num_points is 1000000000000, but 128"),
        ("points.num_points", 10**12, "at most"),
        # settings
        ("num_points", 0, "num_points is 0"),
        ("num_points", 64.0, r"num_points is 64\.0"),
        ("num_points", None, "num_points is None"),
        ("points", None, "settings of points are not those"),
        ("points.up", "w", "up is 'w'"),
        ("points.up", ["z"], "up of its points"),
        ("points.seed", 10**100, "seed of its points cannot be an integer of more"),
        ("points.seed", "0", "seed of its points"),
        ("points.normalization", "unit", "unknown normalization"),
        ("points.path", "/", "settings of points are not those"),
        ("class_names", ["box", "cone"], "2 class_names, but its head is made for 3"),
        ("class_names", "abc", "not a list of names"),
        ("class_names", [1, 2, 3], "not a list of names"),
        ("class_names", ["box", "cone", "box"], "hold 'box' more than once"),
        ("class_names", ["box", "cone", " "], "hold ' ', which is not a name"),
        ("class_names", ["box", "cone", "\x1b[2J"], "which is not a name"),
        ("class_names", ["box", "cone", "a\nb"], "which is not a name"),
        ("class_names", ["box", "cone", "\ud800"], "which is not a name"),
        ("class_names", ["box", "cone", "a" * 201], "which is not a name"),
        ("state_dict", [], "not a dict of named tensors"),
        ("state_dict", {}, r"missing: backbone.edge_convs.* and \d+ more"),
    ],
    ids=named,
)
def test_what_a_student_is_not_is_named(exported, load, where, value, message):
    put(exported, where, value)
    with pytest.raises(ValueError, match=message):
        load(exported)


WEIGHT, STEPS = "state_dict.head/classifier/weight", "state_dict.head/embed/norm/num_batches_tracked"


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (WEIGHT, torch.full((3, 8), torch.nan), "not finite .*: head.classifier.weight"),
        (WEIGHT, torch.full((3, 8), -torch.inf), "not finite"),
        (WEIGHT, torch.zeros(8, 3), "of another shape: head.classifier.weight"),
        (WEIGHT, torch.zeros(3, 8, dtype=torch.float64), "of another type: head.classifier.weight"),
        (WEIGHT, torch.zeros(3, 8, dtype=torch.complex64), "of another type"),
        (WEIGHT, torch.zeros(3, 8).to_sparse(), "something other than plain tensors: head.classifier.weight"),
        (
            WEIGHT,
            torch.zeros(3, 8, device="meta"),
            "something other than plain tensors: head.classifier.weight",
        ),
        (WEIGHT, [[0.0] * 8] * 3, "something other than plain tensors: head.classifier.weight"),
        (STEPS, torch.tensor(0.0), "of another type: head.embed.norm.num_batches_tracked"),
        ("state_dict.teacher", torch.zeros(1), "unexpected: teacher"),
    ],
    ids=named,
)
def test_wrong_weights_are_named(exported, load, where, value, message):
    parent, key = where.split(".")
    exported[parent][key.replace("/", ".")] = value
    with pytest.raises(ValueError, match=message):
        load(exported)


def test_a_number_that_is_repeated_is_not_a_weight(load):
    """100 GB of weights that are one stored zero each."""
    with torch.device("meta"):
        wide = PointModel({"type": "DGCNN", "channels": [99_999, 99_999], "k": 4}, None)
    exported = small({"type": "DGCNN", "channels": [8], "k": 4}, None)
    exported["model"]["backbone"]["channels"] = [99_999, 99_999]
    exported["state_dict"] = {
        key: torch.zeros((), dtype=value.dtype).expand(value.shape)
        for key, value in wide.state_dict().items()
    }
    with pytest.raises(ValueError, match="its weights claim more than the file holds"):
        load(exported)


def test_a_file_unpacks_to_no_more_than_it_holds(exported, tmp_path):
    exported["state_dict"]["teacher"] = torch.zeros(10**6)
    torch.save(exported, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "student.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in plain.infolist():
            packed.writestr(entry.filename, plain.read(entry))
    with pytest.raises(ValueError, match="it unpacks to more than it holds"):
        load_student(tmp_path / "student.pth")


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ("part_names", None, "part_names are not a list of names"),
        ("part_names", ["side"], "1 part_names, but its head is made for 4"),
        ("part_names", ["side", "tip", "base", "tip"], "hold 'tip' more than once"),
        ("class_parts", [[0], [1]], "with the parts of each class"),
        ("class_parts.1", [], "give 'cone' no list of parts"),
        ("class_parts.1", [4], "give 'cone' other numbers than 0 to 3"),
        ("class_parts.1", [-1], "other numbers"),
        ("class_parts.1", ["tip"], "other numbers"),
        ("model.backbone", {"type": "PointNet2", "num_points": [8]}, "its model cannot be built: num_points"),
    ],
    ids=named,
)
def test_wrong_parts_are_named(segmenter, load, where, value, message):
    put(segmenter, where, value)
    with pytest.raises(ValueError, match=message):
        load(segmenter)


def test_a_file_cannot_make_a_pass_take_hours(exported, load):
    """All pairs of points are compared in each layer with neighbours."""
    exported["points"]["num_points"] = 100_000
    exported["num_points"] = 16_384
    assert load(exported).num_points == 16_384
    with pytest.raises(ValueError, match="neighbours among 16385 points; at most 16384 are allowed"):
        load(exported | {"num_points": 16_385})
    exported["model"]["backbone"] |= {"channels": [8] * 130, "k": 1}
    exported["state_dict"] = PointModel(exported["model"]["backbone"], exported["model"]["head"]).state_dict()
    with pytest.raises(ValueError, match="in more or wider layers than any student"):
        load(exported)
    assert load(exported | {"num_points": 1024}).num_points == 1024


@pytest.mark.parametrize("key", ["model", "state_dict", "class_names", "num_points", "points"])
def test_what_is_missing_is_named(exported, load, key):
    del exported[key]
    with pytest.raises(ValueError, match=f"it has no {key}"):
        load(exported)


def test_a_file_cannot_bring_code_of_its_own(exported, tmp_path):
    exported["model"] = os.system  # as pickle stores it: by name
    torch.save(exported, tmp_path / "student.pth")
    with pytest.raises(ValueError, match="is damaged, or holds no weights"):
        load_student(tmp_path / "student.pth")


def test_only_parts_of_students_are_buildable():
    """A part that reads or fetches anything must not become one by being registered."""
    MODELS.import_from_location()
    own = {name: part for name, part in MODELS.module_dict.items() if part.__module__.startswith("pointmcd.")}
    heads = {name for name, part in own.items() if _is_part(part, "head")}
    backbones = {name for name, part in own.items() if _is_part(part, "backbone")}
    assert heads == {"ClassificationHead", "EmbeddingHead", "PartSegmentationHead"}
    assert backbones == {name for name, part in own.items() if issubclass(part, PointBackbone)}


def test_probabilities_are_never_nan(exported):
    """A running variance below zero is finite, and its square root is not a number."""
    broken = copy.deepcopy(exported)
    broken["state_dict"]["head.embed.norm.running_var"].fill_(-1)
    with pytest.raises(ValueError, match="output for this shape is not finite"):
        Student(broken).classify(CLOUD)
    broken = copy.deepcopy(exported)
    broken["state_dict"]["backbone.fusion.norm.running_var"].fill_(-1)
    with pytest.raises(ValueError, match="output for this shape is not finite"):
        Student(broken).embed(CLOUD)
    with pytest.raises(ValueError, match="output for this shape is not finite"):
        Student(exported).probabilities(torch.full((1, 64, 3), torch.nan))
