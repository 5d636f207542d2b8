"""Students as ONNX files: onnxruntime says what torch says, of batches of any size."""

import json

import numpy as np
import pytest
import torch

from pointmcd.apis import Student, export_onnx
from pointmcd.apis.onnx import OLDEST
from pointmcd.apis.student_file import FORMAT
from pointmcd.models import PointModel

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("onnxscript", reason="needs the extra onnx")

pytestmark = pytest.mark.skipif(torch.__version__ < OLDEST, reason="needs the exporter of torch 2.13")

POINTS = 48
CLASSIFIER = {"type": "ClassificationHead", "num_classes": 3, "channels": 8}
SEGMENTER = {"type": "PartSegmentationHead", "num_classes": 3, "num_parts": 4, "channels": [8]}
SCALES = [{"radius": 0.3, "k": 6, "channels": [8, 8]}, {"radius": 0.6, "k": 60, "channels": [8, 8]}]
NETWORKS = {
    "PointNet": ({"type": "PointNet", "out_channels": 16}, CLASSIFIER),
    # EdgeConv of one layer, in three dimensions, and of two, in more than eight
    "DGCNN": ({"type": "DGCNN", "channels": [12, [12, 8]], "k": 5, "out_channels": 16}, CLASSIFIER),
    "PointNet2SegMSG": (
        {
            "type": "PointNet2SegMSG",
            "num_points": [16],
            "scales": [SCALES],
            "channels": [16, 16],
            "propagation": [[8], [8]],
        },
        SEGMENTER,
    ),
    "PointNeXt": ({"type": "PointNeXt", "width": 8, "k": 8}, CLASSIFIER),
    "PointTransformer": (
        {"type": "PointTransformer", "size": "tiny", "depth": 1, "num_patches": 8, "patch_size": 8},
        CLASSIFIER,
    ),
    "CurveNet": (
        {
            "type": "CurveNet",
            "width": 8,
            "channels": [16],
            "strides": [1],
            "radii": [0.3],
            "k": 8,
            "curves": [[4, 2]],
            "out_channels": 16,
        },
        CLASSIFIER,
    ),
}


def student(backbone, head):
    """A network whose running statistics have moved, and whose logits are far from each other."""
    torch.manual_seed(0)
    model = PointModel(backbone, head)
    for _ in range(3):
        model.student_features(ball(8), torch.arange(8) % 3)
    with torch.no_grad():
        model.head.classifier.weight.mul_(30)
    return Student(
        {
            "format": FORMAT,
            "model": {"type": "PointModel", "backbone": backbone, "head": head},
            "state_dict": model.state_dict(),
            "class_names": ["box", "cône", "torus"],
            "num_points": POINTS,
            "points": {"num_points": 128},
            "part_names": ["side", "tip", "base", "ring"],
            "class_parts": [[0], [1, 2], [3]],
        }
    )


def ball(batch, seed=0):
    """(B, POINTS, 3) on three spheres, as a shape's points lie on its surface."""
    generator = torch.Generator().manual_seed(seed)
    radius = torch.randint(1, 4, (batch, POINTS, 1), generator=generator) / 3
    return radius * torch.nn.functional.normalize(torch.randn(batch, POINTS, 3, generator=generator), dim=-1)


def operators(graph):
    """All nodes, those of loops too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from operators(attribute.g)


@pytest.mark.parametrize("name", NETWORKS)
def test_onnxruntime_says_the_same(tmp_path, name):
    trained = student(*NETWORKS[name])
    export_onnx(trained, tmp_path / "student.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["student.onnx"]

    model = onnx.load(tmp_path / "student.onnx")
    onnx.checker.check_model(model)
    assert {node.domain for node in operators(model.graph)} == {""}
    assert not model.functions
    (settings,) = (json.loads(entry.value) for entry in model.metadata_props if entry.key == "pointmcd")
    assert (settings["class_names"], settings["num_points"]) == (trained.class_names, POINTS)
    assert b'File "' not in model.SerializeToString()  # whose machine it was

    session = onnxruntime.InferenceSession(tmp_path / "student.onnx", providers=["CPUExecutionProvider"])
    for batch in (1, 5):
        points, category = ball(batch, seed=batch), torch.arange(batch) % 3
        with torch.inference_mode():
            expected = trained.model.student_features(points, category)
        inputs = {"points": points.numpy(), "category": category.numpy()}
        taken = {entry.name: inputs[entry.name] for entry in session.get_inputs()}
        logits, embedding = session.run(["logits", "embedding"], taken)
        assert np.ptp(expected["logits"].numpy()) > 1
        np.testing.assert_array_equal(logits.argmax(-1), expected["logits"].argmax(-1))
        np.testing.assert_allclose(logits, expected["logits"], atol=1e-4)
        np.testing.assert_allclose(embedding, expected["global_feats"], atol=1e-4)
