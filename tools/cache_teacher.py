#!/usr/bin/env python
"""Write down what a trained teacher says of every shape of a prepared set, for students to learn from.

    python tools/cache_teacher.py configs/teacher_mobilenetv2_modelnet.py work_dirs/.../epoch_128.pth

All views of every split are described. The cache is <data_root>/teachers/<name>/; students' configs ask for
it by that name, which is by default the middle of the teacher's config: here mobilenetv2.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _environment import plain_errors
from mmengine.device import get_device
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch.utils.data import DataLoader

from pointmcd.batch import TeacherRows
from pointmcd.datasets.prepared import PreparedSet, file_sha256
from pointmcd.datasets.shapes import PreparedShapes, whole_batch
from pointmcd.datasets.teacher_cache import TeacherCacheWriter
from pointmcd.engine import load_config
from pointmcd.evaluation.classification import accuracies, confusion_matrix
from pointmcd.models.teachers import MultiViewTeacher
from pointmcd.models.teachers.trunks import read_state_dict
from pointmcd.registry import MODELS


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="the config that the teacher was trained with")
    parser.add_argument("checkpoint", type=Path, help="checkpoint of the teacher (epoch_N.pth)")
    parser.add_argument("--name", help="name of the cache")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="override the config, as in training",
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with plain_errors():
        if not args.checkpoint.is_file():
            raise FileNotFoundError(f"there is no checkpoint {args.checkpoint}")
        config = load_config(args.config, args.cfg_options)
        teacher = load_teacher(config.model, args.checkpoint)
        folder, accuracy = cache(teacher, config, args.checkpoint, args.name or name_of(args.config))
    table = Table(title="Accuracy of the teacher, all views")
    for column in ("split", "overall %", "mean class %"):
        table.add_column(column, justify="left" if column == "split" else "right")
    for split, figures in accuracy.items():
        table.add_row(
            split, *(f"{figures[name]:.1f}" for name in ("overall_accuracy", "mean_class_accuracy"))
        )
    Console().print(table, f"wrote {folder}")


def name_of(config: Path) -> str:
    """``mobilenetv2`` of ``teacher_mobilenetv2_modelnet.py``."""
    words = config.stem.split("_")
    return "_".join(words[1:-1]) if words[0] == "teacher" and len(words) > 2 else config.stem


def load_teacher(config: dict[str, Any], checkpoint: Path) -> MultiViewTeacher:
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


def cache(
    teacher: MultiViewTeacher, config: Any, checkpoint: Path, name: str
) -> tuple[Path, dict[str, dict[str, float]]]:
    """Describe all splits; the folder of the cache and the accuracies in percent by split."""
    root = config.data_root
    prepared, writer = PreparedSet(root), TeacherCacheWriter(root, name)
    accuracy = {}
    with Progress() as progress:
        for split in prepared.splits:
            dataset = PreparedShapes(root, split, num_points=1, views="all")
            loader = DataLoader(
                dataset,
                batch_size=config.val_dataloader.batch_size,
                num_workers=config.val_dataloader.num_workers,
                collate_fn=whole_batch,
            )
            batches = progress.track(loader, description=split)
            predicted = writer.write_split(split, described(teacher, batches))["logits"].argmax(1)
            labels = prepared.split(split).labels
            parts = {split: np.arange(len(labels))}
            if config.train_dataloader.dataset.split == "fit" and split == "train":
                # a teacher that was trained on one part of train has an accuracy worth knowing on the other
                parts |= {part: PreparedShapes(root, part, num_points=1).rows for part in ("fit", "held_out")}
            for part, rows in parts.items():
                confusion = confusion_matrix(labels[rows], predicted[rows], teacher.head.num_classes)
                accuracy[part] = accuracies(confusion)
    meta = {
        "accuracy": accuracy,
        "checkpoint_sha256": file_sha256(checkpoint),
        "teacher": teacher.settings,
    }
    return writer.finish(meta), accuracy


def described(teacher: MultiViewTeacher, batches: Any) -> Iterator[TeacherRows]:
    """What the teacher says of each batch."""
    for batch in batches:
        yield teacher.describe(teacher.data_preprocessor(batch))


if __name__ == "__main__":
    main()
