"""From a training checkpoint to the file that is shipped: the student alone, with what it needs to be
used.
"""

import os
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from pointmcd.datasets.prepared import PreparedSet
from pointmcd.registry import MODELS

STUDENT_KEYS = ("backbone.", "head.")
FORMAT = "pointmcd student 1"


def export_student(config: Config, checkpoint: str | Path, out: str | Path) -> dict[str, Any]:
    """Write the student of a checkpoint, without teacher, neck and distillation heads.

    The file holds tensors and plain values only: ``state_dict`` (which loads strictly into the
    ``baseline_*`` config), ``model`` (that config's model), ``class_names``, ``num_points`` and
    ``points``, the settings by which the training set's points were prepared (up axis, normalisation,
    sampling seed).

    Args:
        config: The complete config of the training (``pointmcd.engine.load_config``).
        checkpoint: A checkpoint of that training.
        out: File to write; written under a temporary name first.

    Returns:
        What was written.

    Raises:
        ValueError: The checkpoint is not one of this config's model.
    """
    model = {
        "type": "PointModel",
        "backbone": _plain(config.model.backbone),
        "head": _plain(config.model.head),
    }
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    student = {key: value for key, value in state.items() if key.startswith(STUDENT_KEYS)}
    try:
        MODELS.build(model).load_state_dict(student)
    except RuntimeError as error:
        raise ValueError(f"{checkpoint} does not hold the model of this config: {error}") from error
    prepared = PreparedSet(config.data_root)
    exported = {
        "format": FORMAT,
        "model": model,
        "state_dict": student,
        "class_names": list(prepared.class_names),
        "num_points": config.test_dataloader.dataset.num_points,
        "points": prepared.manifest["points"],
    }
    temporary = Path(f"{out}.{os.getpid()}.tmp")
    temporary.parent.mkdir(parents=True, exist_ok=True)
    torch.save(exported, temporary)
    temporary.replace(out)
    return exported


def _plain(value: Any) -> Any:
    """A ``ConfigDict`` as dicts and lists, which ``weights_only=True`` loads."""
    if isinstance(value, dict):
        return {key: _plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(child) for child in value]
    return value
