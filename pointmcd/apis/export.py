"""From a training checkpoint to the file that is shipped: the student alone, with what it needs to be
used.
"""

from pathlib import Path
from typing import Any

from mmengine.config import Config

from pointmcd.apis.student_file import FORMAT, check_student
from pointmcd.checkpoint import read_checkpoint, write_checkpoint
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.engine.check_provenance import Provenance, check_provenance
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

    What the checkpoint says of its training counts: its number of points, and the preparation of its data. A
    config of another network or of other classes is refused.

    Args:
        config: The complete config of the training (``pointmcd.engine.load_config``).
        checkpoint: A checkpoint of that training.
        out: File to write; a reader sees the old one or the new one.

    Returns:
        What was written.

    Raises:
        ValueError: The config's model is no student, or the checkpoint is damaged, not one of this config, or
            has weights that are not finite.
    """
    if config.model.get("backbone") is None:
        raise ValueError(
            f"the model of this config, {config.model.type}, has no point backbone and so no student to "
            "export; give the baseline_* or pointmcd_* config of the checkpoint"
        )
    saved = read_checkpoint(checkpoint)
    try:
        trained = check_provenance(saved, config)
    except ValueError as error:
        raise ValueError(f"{checkpoint} is not of this config: {error}") from error
    prepared = PreparedSet(config.data_root)
    model = {
        "type": "PointModel",
        "backbone": _plain(config.model.backbone),
        "head": _plain(config.model.get("head")),
    }
    state = saved.get("state_dict", {})
    exported = {
        "format": FORMAT,
        "model": model,
        "state_dict": {key: value for key, value in state.items() if key.startswith(STUDENT_KEYS)},
        "class_names": trained.data.get("classes", prepared.class_names),
        "num_points": _num_points(trained, config),
        "points": trained.data.get("points", prepared.manifest["points"]),
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


def _num_points(trained: Provenance, config: Config) -> int:
    """As many as the training tested with; the config's where the checkpoint does not say."""
    try:
        return points_seen(trained.config)
    except (AttributeError, KeyError, TypeError):
        return points_seen(config)


def _plain(value: Any) -> Any:
    """A ``ConfigDict`` as dicts and lists, which ``weights_only=True`` loads."""
    if isinstance(value, dict):
        return {key: _plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(child) for child in value]
    return value
