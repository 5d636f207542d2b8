"""Write down what an image teacher says of every shape of a prepared set, for students to learn from.

    cache_teacher.py --frozen mobilenetv2_100 --data data/meshes
    cache_teacher.py --frozen mobilenetv2_100 --data data/meshes --labels 20 --name mobilenetv2_20
    cache_teacher.py configs/teacher_mobilenetv2_modelnet.py work_dirs/.../epoch_128.pth
    cache_teacher.py --check data/modelnet40/teachers/mobilenetv2

--frozen takes image networks as they come: no config, no training. What they see of all views is kept in
<data>/trunks/; a linear probe of the labelled shapes says the classes, and speaks of each labelled shape only
as one that did not learn from it (--folds). It sees no label but those of --split, --labels and
--fraction-seed, which the cache records; a student that knows others is refused the cache.

A trained teacher is given by its config and checkpoint. The cache is <data_root>/teachers/<name>/; students'
configs ask for it by that name, which is by default `frozen`, or the middle of the teacher's config: here
mobilenetv2. Beside the rows of a teacher that makes images lie some: examples.png.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.device import get_device
from mmengine.evaluator import BaseMetric
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch.utils.data import DataLoader

from pointmcd.batch import TeacherRows
from pointmcd.checkpoint import read_state_dict
from pointmcd.commands.common import add_cfg_options, make_parser, plain_errors
from pointmcd.commands.frozen_teacher import add_trunk_arguments, build_trunks, cache_frozen
from pointmcd.datasets.label_choice import PARTS_OF_TRAIN, labelled_rows, labels_record
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.prepared_shapes import PreparedShapes, whole_batch
from pointmcd.datasets.teacher_cache import TeacherCache, TeacherCacheWriter
from pointmcd.engine import load_config
from pointmcd.evaluation.frozen_teacher import Labels
from pointmcd.files import file_sha256
from pointmcd.models.teachers import AutoencoderTeacher, PartSegmentationTeacher
from pointmcd.models.teachers.base import ImageTeacher, teacher_rows
from pointmcd.registry import DATASETS, METRICS, MODELS
from pointmcd.visualization.teachers import draw_part_views, draw_reconstructions

PICTURES = {AutoencoderTeacher: draw_reconstructions, PartSegmentationTeacher: draw_part_views}


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("config", type=Path, nargs="?", help="the config that the teacher was trained with")
    parser.add_argument("checkpoint", type=Path, nargs="?", help="checkpoint of the teacher (epoch_N.pth)")
    parser.add_argument("--name", help="name of the cache")
    parser.add_argument(
        "--check", type=Path, metavar="FOLDER", help="read all of a cache, and compare its hashes"
    )
    add_cfg_options(parser, "override the config, as in training")
    frozen = parser.add_argument_group("frozen networks")
    frozen.add_argument("--frozen", nargs="+", metavar="TRUNK", help="timm networks, side by side")
    frozen.add_argument("--data", type=Path, help="folder of the prepared set")
    frozen.add_argument(
        "--further", type=Path, nargs="+", default=[], metavar="DATA", help="sets to ask without their labels"
    )
    frozen.add_argument("--split", choices=["train", "fit"], default="train", help="whose labels are seen")
    frozen.add_argument(
        "--labels", type=float, default=100, metavar="PERCENT", help="of each class's labels (%(default)s)"
    )
    frozen.add_argument("--fraction-seed", type=int, default=0, help="of which these are (%(default)s)")
    add_trunk_arguments(frozen)
    args = parser.parse_args(argv)
    if args.frozen and (args.config or args.data is None):
        parser.error("--frozen takes no config, and needs --data")
    if args.check is None and not args.frozen and args.checkpoint is None:
        parser.error(
            "give the config and the checkpoint of a trained teacher, or --frozen TRUNK, or --check a cache"
        )
    return args


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    if args.check is not None:
        check(args.check)
        return
    more: list[Path] = []
    if args.frozen:
        labels = Labels(args.split, args.labels / 100, args.fraction_seed)
        trunks = build_trunks(args, args.frozen)
        name = args.name or "frozen"
        (folder, *more), figures = cache_frozen(args.data, name, trunks, labels, args, args.further)
    else:
        if not args.checkpoint.is_file():
            raise FileNotFoundError(f"there is no checkpoint {args.checkpoint}")
        config = load_config(args.config, args.cfg_options)
        teacher = load_teacher(config.model, args.checkpoint)
        folder, figures = cache(teacher, config, args.checkpoint, args.name or name_of(args.config))
    table = Table(title="The teacher, all views")
    table.add_column("split")
    for name in next(iter(figures.values()), {}):
        table.add_column(name.replace("_", " ") + ("" if name.endswith("_l1") else " %"), justify="right")
    for split, values in figures.items():
        cells = (f"{value:.{4 if name.endswith('_l1') else 1}f}" for name, value in values.items())
        table.add_row(split, *cells)
    Console().print(table, "\n".join(f"wrote {one}" for one in (folder, *more)))


def check(folder: Path) -> None:
    """Read all of a cache, ``<data_root>/teachers/<name>``."""
    folder = folder.absolute()
    if not TeacherCache(folder.parent.parent, folder.name).verify():
        raise ValueError(f"{folder} opens, but was written before hashes were recorded: write it again")
    print(f"{folder} is whole")


def name_of(config: Path) -> str:
    """``mobilenetv2`` of ``teacher_mobilenetv2_modelnet.py``."""
    words = config.stem.split("_")
    return "_".join(words[1:-1]) if words[0] == "teacher" and len(words) > 2 else config.stem


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


def cache(
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
                    for part in ("fit", "held_out"):
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


def labels_of(dataset: dict[str, Any], prepared: PreparedSet) -> dict[str, Any]:
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
