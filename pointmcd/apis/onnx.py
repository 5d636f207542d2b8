"""A student as an ONNX file, for runtimes without torch: standard operators only, any batch size."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.torch_version import TorchVersion

from pointmcd.apis.student import Student
from pointmcd.files import written_aside
from pointmcd.ops.exportable import without_kernels

OLDEST = "2.13"
"""The torch whose exporter is tested; those of 2.6 and the next have no loop for farthest point sampling."""
MOST_SHAPES = 4096
"""Of a batch, so that no index of the network passes 32 bits."""


class _Network(nn.Module):
    """The tensors of an ONNX file, in and out."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.model = student.model

    def forward(self, points: Tensor, category: Tensor | None = None) -> tuple[Tensor, ...]:
        features = self.model.student_features(points, category)
        return *([features["logits"]] if "logits" in features else []), features["global_feats"]


def export_onnx(student: Student, path: str | Path) -> None:
    """Write the network of a student as an ONNX file.

    Inputs: ``points`` (B, N, C) float32, as ``Student.points`` prepares them; N is ``num_points`` and
    C 3, and 3 more for each of ``Student.inputs``; and, where the student segments, ``category`` (B,) int64.
    Its outputs are ``logits``, (B, K) of a classifier or (B, N, P) of a student that segments, and
    ``embedding`` (B, D), the pooled feature. Names and settings are in the file's metadata, as JSON under
    ``pointmcd``.

    Args:
        student: The student, on the CPU.
        path: File to write; a reader sees the old one or the new one.

    Raises:
        ValueError: The extra ``onnx`` is not installed, or torch is older than ``OLDEST``.
        OSError: The file cannot be written.
    """
    try:
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ModuleNotFoundError as error:
        raise ValueError(f"ONNX needs {error.name}: pip install 'pointmcd[onnx]'") from error
    if TorchVersion(torch.__version__) < OLDEST:
        raise ValueError(f"the export to ONNX needs torch {OLDEST} or later; this is {torch.__version__}")
    network, examples = _Network(student).eval(), _examples(student)
    batch = {0: torch.export.Dim("batch", min=1, max=MOST_SHAPES)}
    with torch.no_grad():
        program = torch.export.export(network, examples, dynamic_shapes=tuple(batch for _ in examples))
        written = torch.onnx.export(
            without_kernels(program),
            dynamo=True,
            verbose=False,
            input_names=["points", "category"][: len(examples)],
            output_names=["embedding"] if student.task == "embed" else ["logits", "embedding"],
        )
    assert written is not None
    for node in written.model.graph.all_nodes():
        node.metadata_props.clear()  # the exporter writes lines of code and their files into it
    written.model.metadata_props["pointmcd"] = json.dumps(_settings(student))
    with written_aside(path) as temporary:
        written.save(temporary)


def _examples(student: Student) -> tuple[Tensor, ...]:
    """Return two shapes, since sizes of 1 are taken for constants."""
    points = torch.rand(2, student.num_points, student.model.backbone.in_channels) - 0.5
    return (points, torch.tensor([0, 0])) if student.model.dense else (points,)


def _settings(student: Student) -> dict[str, Any]:
    return {
        "class_names": student.class_names,
        "part_names": student.part_names,
        "class_parts": student.class_parts,
        "num_points": student.num_points,
        "inputs": list(student.inputs),
        "points": vars(student.settings),
    }
