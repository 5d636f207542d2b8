"""The model card of a student: what it is, how good, of which data and teacher, and how it is used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.evaluation.statistics import in_words
from pointmcd.files import file_sha256, read_json

METRICS = ("overall_accuracy", "mean_class_accuracy", "instance_miou", "category_miou")
NOT_TESTED = "It was not tested on the test split of its data."
USE = {
    "classify": 'for name, probability in student.classify("chair.off"):  # mesh, cloud or array (N, 3)\n'
    '    print(f"{name:12} {probability:.3f}")',
    "segment": 'print(student.segment("chair.off", category=CATEGORY).names())  # the part of each point',
    "embed": 'feature = student.embed("chair.off")  # a mesh, a cloud or an array (N, 3)',
}


def model_card(exported: Mapping[str, Any], config: Config, checkpoint: str | Path, name: str) -> str:
    """Write the card as the Hub reads it: YAML, then Markdown.

    Its figures are those of ``pointmcd test`` beside the checkpoint, where that tested it on the test split
    of the set that it was trained on.

    Args:
        exported: What ``export_student`` returned.
        config: The complete config of the training.
        checkpoint: The checkpoint that was exported.
        name: Of the model.

    Returns:
        The text of ``README.md``.
    """
    from huggingface_hub import EvalResult, ModelCardData

    prepared = PreparedSet(config.data_root)
    data_name = Path(config.data_root).resolve().name
    figures, protocol = _figures(Path(checkpoint), prepared.digest)
    network, head = exported["model"]["backbone"]["type"], exported["model"]["head"]
    task = (
        "embed"
        if head is None or head["type"] == "EmbeddingHead"
        else "segment"
        if "part_names" in exported
        else "classify"
    )
    results = [
        EvalResult(
            task_type=f"point-cloud-{'segmentation' if task == 'segment' else 'classification'}",
            dataset_type=prepared.manifest["source"],
            dataset_name=data_name,
            dataset_split="test",
            metric_type="accuracy" if "accuracy" in metric else "mean_iou",
            metric_name=in_words(metric) + protocol,
            metric_value=round(value, 2),
        )
        for metric, value in figures.items()
    ]
    head_lines = ModelCardData(
        library_name="pointmcd",
        tags=["point-cloud", "3d", "knowledge-distillation", network.lower()],
        model_name=name if results else None,
        eval_results=results or None,
    ).to_yaml()
    shapes = ", ".join(f"{count} in {split}" for split, count in prepared.manifest["splits"].items())
    classes = exported["class_names"]
    rows = [f"| {in_words(metric)} | {value:.2f} % |" for metric, value in figures.items()]
    table = "\n".join([f"Test split, one run, no voting{protocol}.", "", "| | |", "|---|---|", *rows])
    table = table if rows else NOT_TESTED
    use = USE[task].replace("CATEGORY", repr(classes[0] if classes else ""))
    return f"""---
{head_lines}
---

# {name}

A {network} that reads {exported["num_points"]} points of a shape, made with
[pointmcd](https://arxiv.org/abs/2207.03128). {_teacher(config)}

## Figures

{table}

## Data

Prepared set `{data_name}` of {prepared.manifest["source"]}: {shapes}; {len(classes)} classes
({_some(classes)}). Its SHA-256 is `{prepared.digest}`.

## Use

```python
from pointmcd.apis import load_student

student = load_student("FOLDER")  # this repository, as huggingface_hub.snapshot_download returns it
{use}
```
"""


def _figures(checkpoint: Path, data_digest: str) -> tuple[dict[str, float], str]:
    """Return the figures of the checkpoint's test, and words on their protocol; none of another test."""
    path = checkpoint.with_name(f"test_{checkpoint.stem}.json")
    report = read_json(path) if path.is_file() else {}
    tested = {
        "checkpoint_sha256": file_sha256(checkpoint),
        "data_digest": data_digest,
        "split": "test",
    }
    if not isinstance(report, dict) or any(report.get(name) != value for name, value in tested.items()):
        return {}, ""
    figures = {name: report[name] for name in METRICS if isinstance(report.get(name), int | float)}
    own = report.get("protocol") == "official"
    return figures, ", by the protocol of PointMCD's release" if own else ""


def _teacher(config: Config) -> str:
    teacher = config.model.get("teacher")
    if teacher is None:
        return "It was trained without a teacher."
    name = teacher.get("name") or teacher.type
    return f"It learned from the image teacher `{name}`, which is not needed to use it."


def _some(names: list[str], most: int = 10) -> str:
    shown = ", ".join(f"`{name.replace('`', ' ')}`" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
