"""A trained point network as a teacher of others: what it says of every shape of a prepared set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.device import get_device
from torch.utils.data import DataLoader

from pointmcd.apis.student_file import build_student
from pointmcd.checkpoint import read_checkpoint
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.prepared_shapes import PreparedShapes, whole_batch
from pointmcd.engine.agreement import statement_of
from pointmcd.engine.labels_seen import labels_seen
from pointmcd.evaluation.cross_fitting import (
    Figures,
    Member,
    check_start,
    cross_fitted,
    write_opinion,
)
from pointmcd.files import file_sha256
from pointmcd.models import PointModel
from pointmcd.models.heads import EmbeddingHead
from pointmcd.progress import Progress

STUDENT_KEYS = ("backbone.", "head.")
BATCH = 32


def cache_students(root: str | Path, checkpoints: Sequence[Path], name: str) -> tuple[Path, Figures]:
    """Write what one student says, or what K say that were each trained without one fold of the labels.

    Args:
        root: Folder of the prepared set.
        checkpoints: Of their trainings, in any order.
        name: Of the cache.

    Returns:
        Its folder, and accuracies by split and part of it.

    Raises:
        ValueError: As ``ask_student`` and ``cross_fitted``.
    """
    members = [ask_student(root, checkpoint) for checkpoint in checkpoints]
    opinion = cross_fitted(PreparedSet(root), members)
    return write_opinion(root, name, opinion)


def ask_student(root: str | Path, checkpoint: Path) -> Member:
    """Ask the student of a training checkpoint about all shapes of the set that it was trained on.

    Args:
        root: Folder of the prepared set.
        checkpoint: Of ``pointmcd train``. It says which points the student looks at, and which labels it has
            seen.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a student that classifies, or it was trained on other data, or does not say.
    """
    saved, prepared = read_checkpoint(checkpoint), PreparedSet(root)
    labels = labels_seen(saved, checkpoint)
    check_start(saved, checkpoint, prepared)
    stated = statement_of(saved)
    model = _student(saved, stated, checkpoint)
    if model.head is None or model.dense or isinstance(model.head, EmbeddingHead):
        raise ValueError(f"the student of {checkpoint} does not classify, so it has no logits")
    logits = {}
    with Progress() as progress:
        for split in prepared.splits:
            dataset = PreparedShapes(
                str(root),
                split,
                stated["num_points"],
                normals="normals" in stated.get("inputs", ()),
                colors="colors" in stated.get("inputs", ()),
            )
            loader = DataLoader(dataset, BATCH, collate_fn=whole_batch)
            logits[split] = _logits(model, progress.track(loader, description=f"{checkpoint.name}, {split}"))
    network = stated["network"]["backbone"]["type"]
    digest = file_sha256(checkpoint)
    record = {"checkpoint_sha256": digest, "type": network, "num_points": stated["num_points"]}
    return Member(logits, labels, record)


def _student(saved: dict[str, Any], stated: dict[str, Any], source: Path) -> PointModel:
    """Return the network of a checkpoint, held to what a student's file may hold."""
    state = saved.get("state_dict", {})
    names = ("class_names", "num_points", "points", "inputs", "part_names", "class_parts")
    exported: dict[str, Any] = {name: stated[name] for name in names if name in stated}
    exported["model"] = {"type": "PointModel", "head": None, **stated.get("network", {})}
    exported["state_dict"] = {key: value for key, value in state.items() if key.startswith(STUDENT_KEYS)}
    try:
        return build_student(exported).to(get_device())
    except ValueError as error:
        raise ValueError(f"{source} does not hold a student: {error}") from error


@torch.inference_mode()
def _logits(model: PointModel, batches: Any) -> np.ndarray:
    """Return (S, K) float64."""
    device = next(model.parameters()).device
    points = (model.network_input(batch).to(device) for batch in batches)
    rows = [model(points=seen)["logits"].double().cpu() for seen in points]
    return torch.cat(rows).numpy()
