"""From a training checkpoint to the file that is shipped: the student with what it needs."""

import contextlib
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from pointmcd.apis.student_file import FORMAT, ROTATIONS, check_student
from pointmcd.checkpoint import read_checkpoint, write_checkpoint
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.teacher_cache import TeacherCache
from pointmcd.engine.agreement import (
    check_agreement,
    config_of,
    inputs_seen,
    network_of,
    points_seen,
    statement_of,
)
from pointmcd.files import check_writable
from pointmcd.registry import MODELS

STUDENT_KEYS = ("backbone.", "head.")


def export_student(config: Config, checkpoint: str | Path, out: str | Path) -> dict[str, Any]:
    """Write the student of a checkpoint, without teacher, neck and distillation heads.

    The file holds tensors and plain values only: ``state_dict`` (which loads strictly into the
    ``baseline_*`` config), ``model`` (that config's model), ``class_names``, ``num_points``, ``points``,
    the settings by which the training set's points were prepared (up axis, normalisation, sampling seed),
    and ``rotation``, how shapes were turned in training; of a student that sees normals or colours,
    ``inputs``; of a student that segments, also ``part_names`` and ``class_parts``; of one that is
    aligned with texts, ``aligned_to``, the SHA-256 of the image-text model's weights. A student trained
    without a head embeds shapes.

    Args:
        config: The complete config of the training (``pointmcd.engine.load_config``).
        checkpoint: A checkpoint of that training.
        out: File to write; a reader sees the old one or the new one.

    Returns:
        What was written.

    Raises:
        ValueError: ``out`` is the checkpoint, the config's model is not a student, or the checkpoint is
            damaged, or was trained with another network, other classes or points that were prepared in
            another way.
    """
    if config.model.get("backbone") is None:
        raise ValueError(
            f"the model of this config, {config.model.type}, has no point backbone and so no student to "
            "export; give the baseline_* or pointmcd_* config of the checkpoint"
        )
    # with the defaults of today, so that a student stays what it is when they change
    model = {"type": "PointModel", "head": None, **network_of(config.model)}
    check_writable(out, checkpoint)
    saved = read_checkpoint(checkpoint)
    for note in check_agreement(config, saved, checkpoint):
        print_log(f"{note}; the student is as in its training", "current")
    state = saved.get("state_dict", {})
    student = {key: value for key, value in state.items() if key.startswith(STUDENT_KEYS)}
    prepared, trained_with = PreparedSet(config.data_root), statement_of(saved)
    exported = {
        "format": FORMAT,
        "model": model,
        "state_dict": student,
        "class_names": list(prepared.class_names),
        "num_points": trained_with.get("num_points") or points_seen(config),
        "points": trained_with.get("points") or prepared.manifest["points"],
        "rotation": _trained_rotation(config, saved),
    }
    if inputs := inputs_seen(config):
        exported["inputs"] = inputs
    if (model["head"] or {}).get("type") == "EmbeddingHead":
        exported["aligned_to"] = _space_of(config)
    if model["head"] is not None and getattr(MODELS.get(model["head"]["type"]), "dense", False):
        exported |= {"part_names": prepared.part_names, "class_parts": prepared.class_parts}
    try:
        check_student(exported)
    except ValueError as error:
        raise ValueError(
            f"{checkpoint} does not fit this config; give the config that the checkpoint was trained "
            f"with: {error}"
        ) from error
    write_checkpoint(out, exported)
    return exported


def rotation_in_training(model: Any) -> str:
    """Return how a training turns its shapes: ``none``, ``part`` (not all the way), ``z`` (about the vertical
    by any angle) or ``so3`` (by any rotation).

    Args:
        model: ``config.model``.
    """
    kinds = {"none"}
    for transform in (model.get("data_preprocessor") or {}).get("transforms") or []:
        if transform["type"] == "RandomRotate":
            kinds.add("z" if transform.get("max_deg", 180) >= 180 else "part")
        elif transform["type"] == "RandomRotateSO3":
            kinds.add("so3")
    return max(kinds, key=ROTATIONS.index)


def _space_of(config: Config) -> str | None:
    """Return the SHA-256 of the image-text model in whose space a student was trained; None of none."""
    teacher = TeacherCache(config.data_root, config.model.teacher.name).meta.get("teacher") or {}
    return teacher["weights_sha256"] if teacher.get("type") == "ImageTextModel" else None


def _trained_rotation(config: Config, saved: dict[str, Any]) -> str:
    """Return the rotation by the config that the checkpoint holds, whatever that is, else by ours."""
    with contextlib.suppress(AttributeError, KeyError, TypeError):
        return rotation_in_training(config_of(saved)["model"])
    return rotation_in_training(config.model)
