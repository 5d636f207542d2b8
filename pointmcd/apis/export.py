"""From a training checkpoint to the file that is shipped: the student alone, with what it needs to be
used.
"""

from pathlib import Path
from typing import Any

from mmengine.config import Config

from pointmcd.apis.student_file import FORMAT, check_student
from pointmcd.checkpoint import read_checkpoint, write_checkpoint
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.evaluation.encoders import points_seen
from pointmcd.registry import MODELS

STUDENT_KEYS = ("backbone.", "head.")


def export_student(config: Config, checkpoint: str | Path, out: str | Path) -> dict[str, Any]:
    """Write the student of a checkpoint, without teacher, neck and distillation heads.

    The file holds tensors and plain values only: ``state_dict`` (which loads strictly into the
    ``baseline_*`` config), ``model`` (that config's model), ``class_names``, ``num_points`` and
    ``points``, the settings by which the training set's points were prepared (up axis, normalisation,
    sampling seed); of a student that segments, also ``part_names`` and ``class_parts``. A student that was
    trained without a head is exported without: it embeds shapes.

    Args:
        config: The complete config of the training (``pointmcd.engine.load_config``).
        checkpoint: A checkpoint of that training.
        out: File to write; a reader sees the old one or the new one.

    Returns:
        What was written.

    Raises:
        ValueError: The config's model is no student, or the checkpoint is damaged or not one of this model.
    """
    if config.model.get("backbone") is None:
        raise ValueError(
            f"the model of this config, {config.model.type}, has no point backbone and so no student to "
            "export; give the baseline_* or pointmcd_* config of the checkpoint"
        )
    model = {
        "type": "PointModel",
        "backbone": _plain(config.model.backbone),
        "head": _plain(config.model.get("head")),
    }
    state = read_checkpoint(checkpoint).get("state_dict", {})
    student = {key: value for key, value in state.items() if key.startswith(STUDENT_KEYS)}
    prepared = PreparedSet(config.data_root)
    exported = {
        "format": FORMAT,
        "model": model,
        "state_dict": student,
        "class_names": list(prepared.class_names),
        "num_points": points_seen(config),
        "points": prepared.manifest["points"],
    }
    if model["head"] is not None and getattr(MODELS.get(model["head"]["type"]), "dense", False):
        exported |= {"part_names": prepared.part_names, "class_parts": prepared.class_parts}
    try:
        check_student(exported)
    except ValueError as error:
        raise ValueError(
            f"{checkpoint} and this config make no student; give the config that the checkpoint was trained "
            f"with: {error}"
        ) from error
    write_checkpoint(out, exported)
    return exported


def _plain(value: Any) -> Any:
    """A ``ConfigDict`` as dicts and lists, which ``weights_only=True`` loads."""
    if isinstance(value, dict):
        return {key: _plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(child) for child in value]
    return value
