"""Write down what a trained teacher says of every shape of a prepared set, for students to learn from.

    python tools/cache_teacher.py configs/teacher_mobilenetv2_modelnet.py work_dirs/.../epoch_128.pth
    python tools/cache_teacher.py --check data/modelnet40/teachers/mobilenetv2

All views of every split are described, by any of the image teachers. The cache is
<data_root>/teachers/<name>/; students' configs ask for it by that name, which is by default the middle of the
teacher's config: here mobilenetv2. Beside the rows of a teacher that makes images lie some: examples.png.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

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
from pointmcd.datasets.prepared_shapes import PreparedShapes, whole_batch
from pointmcd.datasets.teacher_cache import TeacherCache, TeacherCacheWriter
from pointmcd.engine import load_config
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
    args = parser.parse_args(argv)
    if args.check is None and args.checkpoint is None:
        parser.error("name a config and a checkpoint, or --check a cache")
    return args


@plain_errors()
def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    if args.check is not None:
        check(args.check)
        return
    if not args.checkpoint.is_file():
        raise FileNotFoundError(f"there is no checkpoint {args.checkpoint}")
    config = load_config(args.config, args.cfg_options)
    teacher = load_teacher(config.model, args.checkpoint)
    folder, figures = cache(teacher, config, args.checkpoint, args.name or name_of(args.config))
    table = Table(title="The teacher, all views")
    table.add_column("split")
    for name in next(iter(figures.values())):
        table.add_column(name.replace("_", " ") + ("" if name.endswith("_l1") else " %"), justify="right")
    for split, values in figures.items():
        cells = (f"{value:.{4 if name.endswith('_l1') else 1}f}" for name, value in values.items())
        table.add_row(split, *cells)
    Console().print(table, f"wrote {folder}")


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
        }
        folder = writer.finish(meta)
    if type(teacher) in PICTURES:  # of the last split: test, where there is one
        PICTURES[type(teacher)](teacher, dataset).savefig(folder / "examples.png")
    return folder, figures


def described(teacher: ImageTeacher, metric: BaseMetric, batches: Any) -> Iterator[TeacherRows]:
    """What the teacher says of each batch, once the metric has counted what it predicts."""
    for batch in batches:
        moved = teacher.data_preprocessor(batch)
        with torch.no_grad():
            features = teacher(**moved)
            metric.process(batch, teacher.predict(features, moved))
        yield teacher_rows(features)
