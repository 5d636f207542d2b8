"""Asking a trained image teacher about every shape of a prepared set, for its cache."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.device import get_device
from mmengine.evaluator import BaseMetric
from rich.progress import Progress
from torch.utils.data import DataLoader

from pointmcd.batch import TeacherRows
from pointmcd.checkpoint import read_state_dict
from pointmcd.datasets.label_choice import PARTS_OF_TRAIN, labelled_rows, labels_record
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.prepared_shapes import PreparedShapes, whole_batch
from pointmcd.datasets.teacher_cache import TeacherCacheWriter
from pointmcd.files import file_sha256
from pointmcd.models.teachers import AutoencoderTeacher, PartSegmentationTeacher
from pointmcd.models.teachers.base import ImageTeacher, teacher_rows
from pointmcd.registry import DATASETS, METRICS, MODELS
from pointmcd.visualization.teachers import draw_part_views, draw_reconstructions

PICTURES = {AutoencoderTeacher: draw_reconstructions, PartSegmentationTeacher: draw_part_views}


def load_teacher(config: dict[str, Any], checkpoint: Path) -> ImageTeacher:
    """The trained teacher on the device at hand, in eval mode.

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
    """Describe all splits; the folder of the cache and the teacher's figures by split."""
    root = config.data_root
    with TeacherCacheWriter(root, name) as writer:
        metric = METRICS.build(config.test_evaluator)
        figures = {}
        with Progress() as progress:
            for split in writer.prepared.splits:
                dataset = DATASETS.build({**config.test_dataloader.dataset, "split": split, "views": "all"})
                loader = DataLoader(
                    dataset,
                    batch_size=config.test_dataloader.batch_size,
                    num_workers=config.test_dataloader.num_workers,
                    collate_fn=whole_batch,
                )
                metric.results.clear()
                writer.write_split(
                    split, described(teacher, metric, progress.track(loader, description=split))
                )
                figures[split] = metric.compute_metrics(metric.results)
                if config.train_dataloader.dataset.split == "fit" and split == "train":
                    # how good a teacher of one part of train is, is worth knowing on the other
                    for part in PARTS_OF_TRAIN:
                        rows = PreparedShapes(root, part, num_points=1).rows
                        figures[part] = metric.compute_metrics([metric.results[row] for row in rows])
        meta = {
            "accuracy": figures,
            "checkpoint_sha256": file_sha256(checkpoint),
            "teacher": {"type": type(teacher).__name__, **teacher.settings},
            "labels": labels_of(config.train_dataloader.dataset, writer.prepared)
            if not isinstance(teacher, AutoencoderTeacher)
            else None,
        }
        folder = writer.finish(meta)
    if type(teacher) in PICTURES:  # of the last split: test, where there is one
        PICTURES[type(teacher)](teacher, dataset).savefig(folder / "examples.png")
    return folder, figures


def labels_of(dataset: ConfigDict, prepared: PreparedSet) -> dict[str, Any]:
    """The record of the labels that a teacher was trained with, by the config of its training set."""
    known = dataset.split, dataset.get("label_fraction", 1.0), dataset.get("fraction_seed", 0)
    stored = "train" if dataset.split in PARTS_OF_TRAIN else dataset.split
    rows = labelled_rows(np.asarray(prepared.split(stored).labels), *known)
    return labels_record(prepared.digest, known[0], rows, *known[1:])


def described(teacher: ImageTeacher, metric: BaseMetric, batches: Any) -> Iterator[TeacherRows]:
    """What the teacher says of each batch, once the metric has counted what it predicts."""
    for batch in batches:
        moved = teacher.data_preprocessor(batch)
        with torch.no_grad():
            features = teacher(**moved)
            metric.process(batch, teacher.predict(features, moved))
        yield teacher_rows(features)
