"""Asking a trained image teacher about every shape of a prepared set, for its cache."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.device import get_device
from mmengine.evaluator import BaseMetric
from torch.utils.data import DataLoader

from pointmcd.batch import TeacherRows
from pointmcd.checkpoint import read_checkpoint, read_state_dict
from pointmcd.datasets.label_choice import (
    PARTS_OF_TRAIN,
    Labels,
    labelled_rows,
    labels_record,
    parts_of_split,
)
from pointmcd.datasets.loader_workers import report_lost_batches
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.prepared_shapes import PreparedShapes, whole_batch
from pointmcd.datasets.teacher_cache import TeacherCacheWriter
from pointmcd.engine.labels_seen import check_own_set, check_own_weights, labels_seen
from pointmcd.evaluation.cross_fitting import (
    Figures,
    Member,
    check_start,
    cross_fitted,
    write_opinion,
)
from pointmcd.files import file_sha256
from pointmcd.models.teachers import AutoencoderTeacher, PartSegmentationTeacher
from pointmcd.models.teachers.base import ImageTeacher, teacher_rows
from pointmcd.progress import Progress
from pointmcd.registry import DATASETS, METRICS, MODELS
from pointmcd.visualization.teachers import draw_part_views, draw_reconstructions

PICTURES = {AutoencoderTeacher: draw_reconstructions, PartSegmentationTeacher: draw_part_views}


def load_teacher(config: dict[str, Any], checkpoint: Path) -> ImageTeacher:
    """Return the trained teacher on the device at hand, in eval mode.

    Raises:
        ValueError: The checkpoint does not fit the config.
    """
    # every weight comes from the checkpoint
    teacher = MODELS.build({**config, "pretrained": False, "checkpoint": None})
    try:
        teacher.load_state_dict(read_state_dict(checkpoint))
    except RuntimeError as error:
        raise ValueError(f"{checkpoint} does not fit the config: {error}") from error
    return teacher.to(get_device()).eval()


def write_cache(
    teacher: ImageTeacher, config: Any, checkpoint: Path, name: str
) -> tuple[Path, dict[str, dict[str, float]]]:
    """Describe all splits; the folder of the cache and the teacher's figures by split.

    Raises:
        ValueError: The teacher was trained on another set, or with labels that are not known.
    """
    root = config.data_root
    known = labels_known(checkpoint, config)
    with TeacherCacheWriter(root, name) as writer:
        metric = METRICS.build(config.test_evaluator)
        figures = {}
        with Progress() as progress:
            for split in writer.prepared.splits:
                dataset = _seen(config, split)
                loader = _loader(dataset, config)
                metric.results.clear()
                writer.write_split(
                    split, described(teacher, metric, progress.track(loader, description=split))
                )
                truth = np.asarray(writer.prepared.split(split).labels)
                for part, rows in parts_of_split(truth, split, known).items():
                    figures[part] = metric.compute_metrics([metric.results[row] for row in rows])
        own = np.asarray(writer.prepared.split(_stored(known.split)).labels)
        meta = {
            "accuracy": figures,
            "checkpoint_sha256": file_sha256(checkpoint),
            "teacher": {"type": type(teacher).__name__, **teacher.settings},
            "labels": labels_record(
                writer.prepared.digest, known.split, labelled_rows(own, *known), *known[1:]
            )
            if not isinstance(teacher, AutoencoderTeacher)
            else None,
        }
        folder = writer.finish(meta)
    if type(teacher) in PICTURES:  # of the last split: test, where there is one
        PICTURES[type(teacher)](teacher, dataset).savefig(folder / "examples.png")
    return folder, figures


def cache_folds(config: Any, checkpoints: Sequence[Path], name: str) -> tuple[Path, Figures]:
    """Write the logits of K teachers, each trained without one of K folds of the labels.

    Args:
        config: The complete config of the teachers.
        checkpoints: Of their trainings, in any order; each says which labels it has seen.
        name: Of the cache.

    Returns:
        Its folder, and accuracies by split and part of it.

    Raises:
        ValueError: They are not those of K folds of the same labels, or have no logits.
    """
    prepared = PreparedSet(config.data_root)
    members = []
    for checkpoint in checkpoints:
        saved = read_checkpoint(checkpoint)
        check_start(saved, checkpoint, prepared)
        labels = labels_seen(saved, checkpoint)
        teacher = load_teacher(config.model, checkpoint)
        record = {"checkpoint_sha256": file_sha256(checkpoint), "type": type(teacher).__name__}
        members.append(Member(_logits(teacher, config, prepared.splits), labels, record | teacher.settings))
    return write_opinion(config.data_root, name, cross_fitted(prepared, members))


def _logits(teacher: ImageTeacher, config: Any, splits: Sequence[str]) -> dict[str, np.ndarray]:
    """Return (S, K) of every split."""
    logits = {}
    with Progress() as progress:
        for split in splits:
            rows = []
            for batch in progress.track(_loader(_seen(config, split), config), description=split):
                said = teacher.describe(teacher.data_preprocessor(batch))
                if "logits" not in said:
                    raise ValueError(f"{type(teacher).__name__} has no logits, which folds need")
                rows.append(said["logits"].double().cpu())
            logits[split] = torch.cat(rows).numpy()
    return logits


def _seen(config: Any, split: str) -> PreparedShapes:
    """Return all shapes of a split with all of their views."""
    return DATASETS.build({**config.test_dataloader.dataset, "split": split, "views": "all"})


def _loader(dataset: PreparedShapes, config: Any) -> DataLoader:
    loader = DataLoader(
        dataset,
        batch_size=config.test_dataloader.batch_size,
        num_workers=config.test_dataloader.num_workers,
        collate_fn=whole_batch,
    )
    return report_lost_batches(loader)


def labels_known(checkpoint: Path, config: Any) -> Labels:
    """Return which labels a teacher has seen, by its checkpoint or, where that is silent, the config.

    Raises:
        ValueError: It was trained on another set, or began with the weights of another training.
    """
    saved = read_checkpoint(checkpoint)
    check_own_set(saved, checkpoint, PreparedSet(config.data_root))
    check_own_weights(saved, checkpoint)
    try:
        return labels_seen(saved, checkpoint)
    except ValueError:
        dataset = config.train_dataloader.dataset
        fold = dataset.get("without_fold")
        given = dataset.get("label_fraction", 1.0), dataset.get("fraction_seed", 0)
        return Labels(dataset.split, *given, None if fold is None else tuple(fold))


def _stored(split: str) -> str:
    return "train" if split in PARTS_OF_TRAIN else split


def described(teacher: ImageTeacher, metric: BaseMetric, batches: Any) -> Iterator[TeacherRows]:
    """Yield what the teacher says of each batch, once the metric has counted what it predicts."""
    for batch in batches:
        moved = teacher.data_preprocessor(batch)
        with torch.no_grad():
            features = teacher(**moved)
            metric.process(batch, teacher.predict(features, moved))
        yield teacher_rows(features)
