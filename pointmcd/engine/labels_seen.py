"""Which labels a training has seen, by the config in its checkpoint."""

from pathlib import Path
from typing import Any

import numpy as np

from pointmcd.checkpoint import read_checkpoint
from pointmcd.datasets.label_choice import Labels, check_labels_seen, labelled_rows, labels_record
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.engine.agreement import config_of, shortened, statement_of

DATASETS = ("PreparedShapes", "JoinedShapes")
WITHOUT_LABELS = ("AutoencoderTeacher",)


def labels_seen(checkpoint: dict[str, Any], source: str | Path) -> Labels:
    """Return which labels a training has seen, by the config in its checkpoint.

    Args:
        checkpoint: Of ``read_checkpoint``.
        source: The file, for the error.

    Raises:
        ValueError: It does not say.
    """
    config = config_of(checkpoint)
    dataset = (config.get("train_dataloader") or {}).get("dataset")
    if not isinstance(dataset, dict) or dataset.get("type") not in DATASETS:
        raise ValueError(
            f"{source} does not say which labels it was trained on; give a checkpoint of pointmcd train "
            "(work_dirs/.../epoch_100.pth), not an exported student"
        )
    fold = dataset.get("without_fold")
    return Labels(
        dataset.get("split", "train"),
        dataset.get("label_fraction", 1.0),
        dataset.get("fraction_seed", 0),
        None if fold is None else (int(fold[0]), int(fold[1])),
    )


def check_own_set(checkpoint: dict[str, Any], source: str | Path, prepared: PreparedSet) -> None:
    """Refuse a training with the labels of another set than the one that it is to speak of.

    It would say other classes, or those of shapes that both sets hold: nobody could tell which labels of this
    set it has seen. Older checkpoints, and files of weights alone, do not say what they were trained on.

    Args:
        checkpoint: Of ``read_checkpoint``.
        source: The file, for the error.
        prepared: The set.

    Raises:
        ValueError: It was trained on another set.
    """
    stated = statement_of(checkpoint)
    names, digest = stated.get("class_names"), stated.get("data_digest")
    if (config_of(checkpoint).get("model") or {}).get("type") in WITHOUT_LABELS:
        return
    remedy = "train one on this set, or ask it about its own (data_root)"
    if names and names != prepared.class_names:
        raise ValueError(
            f"{source} was trained on another set than {prepared.root}, whose classes are "
            f"{shortened(prepared.class_names)}; it says {shortened(names)}: {remedy}"
        )
    if digest is not None and digest != prepared.digest:
        raise ValueError(
            f"{source} was trained on another set than {prepared.root}, so the labels that it has seen of "
            f"this one are not known: {remedy}"
        )


def check_own_weights(checkpoint: dict[str, Any], source: str | Path) -> None:
    """Refuse a training that began with the weights of another one, which may have seen other labels.

    Args:
        checkpoint: Of ``read_checkpoint``.
        source: The file, for the error.

    Raises:
        ValueError: It did.
    """
    if (start := start_of(checkpoint)) is not None:
        raise ValueError(
            f"{source} began with the weights of another training ({start}), whose labels are not known"
        )


def start_of(checkpoint: dict[str, Any]) -> str | None:
    """Return whose weights a training began with, where those may have seen other labels, or None.

    Weights of an image network, and those of an autoencoder, have seen none. An image teacher whose
    ``checkpoint`` was trained on another set may go on from it: those labels are not of these shapes.
    A training that was resumed states what it began with; its config may no longer say it.
    """
    config = config_of(checkpoint)
    model = config.get("model") or {}
    if model.get("type") in WITHOUT_LABELS:
        return None
    if (stated := statement_of(checkpoint).get("began_with")) is not None:
        return stated
    if config.get("load_from") and not config.get("resume"):  # --resume FILE goes on with the same
        return str(config["load_from"])
    for hook in config.get("custom_hooks") or []:
        if hook.get("type") == "PretrainedBackboneHook":
            return str(hook.get("checkpoint"))
    start = _of_training(model.get("checkpoint"))
    return model["checkpoint"] if start is not None and _digest(start) == _digest(checkpoint) else None


def check_online_teacher(model: dict[str, Any], dataset: Any) -> None:
    """Refuse a teacher that is asked while a student trains, and has seen other labels than the student may.

    Those of another set are others: the two may share shapes.

    Args:
        model: Config of the student.
        dataset: That it is trained on.

    Raises:
        ValueError: As ``check_own_set``, ``check_own_weights`` and ``check_labels_seen``.
    """
    path = (model.get("teacher") or {}).get("checkpoint")
    saved = _of_training(path)
    if path is None or saved is None or not isinstance(dataset, PreparedShapes):
        return
    prepared, labels = dataset.prepared, labels_seen(saved, path)
    check_own_set(saved, path, prepared)
    check_own_weights(saved, path)
    if _digest(saved) is None:  # an older one, whose labels may be of any set
        return
    rows = labelled_rows(np.asarray(prepared.split("train").labels), *labels)
    seen = labels_record(prepared.digest, labels.split, rows, *labels[1:])
    known = dataset.rows[dataset.labelled[: len(dataset.rows)]]  # what follows is of further sets
    check_labels_seen(seen, Path(path), prepared.digest, known)


def _of_training(path: str | None) -> dict[str, Any] | None:
    """Return a checkpoint of a training with labels; None for any other file, and for none."""
    if path is None or not Path(path).is_file() or Path(path).suffix == ".safetensors":
        return None
    try:
        saved = read_checkpoint(path)
        labels_seen(saved, path)
    except ValueError:  # weights alone
        return None
    model = config_of(saved).get("model") or {}
    return None if model.get("type") in WITHOUT_LABELS else saved


def _digest(checkpoint: dict[str, Any]) -> str | None:
    """Return the digest of the set that a training was made on."""
    return statement_of(checkpoint).get("data_digest")
