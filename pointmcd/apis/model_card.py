"""The model card of a student: what it is, how good, of which data and teacher, and how it is used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.evaluation.statistics import in_words
from pointmcd.files import read_json

METRICS = ("overall_accuracy", "mean_class_accuracy", "instance_miou", "category_miou")
USE = {
    "classify": 'for name, probability in student.classify("chair.off"):  # mesh, cloud or array (N, 3)\n'
    '    print(f"{name:12} {probability:.3f}")',
    "segment": 'print(student.segment("chair.off", category=CATEGORY).names())  # the part of each point',
    "embed": 'feature = student.embed("chair.off")  # a mesh, a cloud or an array (N, 3)',
}


def model_card(exported: Mapping[str, Any], config: Config, checkpoint: str | Path, name: str) -> str:
    """Write the card as the Hub reads it: YAML, then Markdown.

    Its figures are those of ``pointmcd test`` beside the checkpoint, where it was tested.

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
    figures = _figures(Path(checkpoint))
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
            metric_name=in_words(metric),
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
    table = "\n".join(["Test split, one run, no voting.", "", "| | |", "|---|---|", *rows])
    table = table if rows else "It was not tested."
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


def _figures(checkpoint: Path) -> dict[str, float]:
    path = checkpoint.with_name(f"test_{checkpoint.stem}.json")
    report = read_json(path) if path.is_file() else {}
    found = {name: report.get(name) for name in METRICS} if isinstance(report, dict) else {}
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


def _teacher(config: Config) -> str:
    teacher = config.model.get("teacher")
    if teacher is None:
        return "It was trained without a teacher."
    name = teacher.get("name") or teacher.type
    return f"It learned from the image teacher `{name}`, which is not needed to use it."


def _some(names: list[str], most: int = 10) -> str:
    shown = ", ".join(f"`{name.replace('`', ' ')}`" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
