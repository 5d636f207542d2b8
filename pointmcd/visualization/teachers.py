"""Pictures of what image teachers make of views: reconstructions, and part images beside the truth."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from pointmcd.batch import Batch
from pointmcd.datasets.prepared_shapes import PreparedShapes
from pointmcd.models.teachers import AutoencoderTeacher, PartSegmentationTeacher
from pointmcd.visualization.parts import part_colors
from pointmcd.visualization.text import Picture, plain

PANEL, LEFT, TOP = 1.0, 0.3, 0.3  # inches: an image; the names of rows; the names of columns
MOST = 22  # letters of a name


def draw_reconstructions(teacher: AutoencoderTeacher, dataset: PreparedShapes, count: int = 8) -> Figure:
    """Draw views of some shapes, and under each what the decoder makes of its descriptor.

    Args:
        teacher: In eval mode.
        dataset: A split with all views.
        count: How many shapes, evenly spaced; of each another view.
    """
    batch = _examples(dataset, count)
    moved = teacher.data_preprocessor(batch)
    with torch.no_grad():
        images = teacher.reconstruct(teacher(**moved))
    rows = {"view": batch["views"][:, 0] / 255, "reconstruction": images[:, 0].clamp(0, 1)}
    return _draw(
        {name: image.permute(0, 2, 3, 1).numpy(force=True) for name, image in rows.items()},
        _titles(dataset, batch),
    )


def draw_part_views(teacher: PartSegmentationTeacher, dataset: PreparedShapes, count: int = 8) -> Figure:
    """Draw views of some shapes, and under each the true and the predicted part of its pixels.

    Args:
        teacher: In eval mode.
        dataset: A split with all views and their part images.
        count: How many shapes, evenly spaced; of each another view.
    """
    batch = _examples(dataset, count)
    with torch.no_grad():
        predicted = teacher(mode="predict", **teacher.data_preprocessor(batch))
    info, labels = dataset.metainfo, batch["label"].tolist()
    rows = {"view": batch["views"][:, 0].permute(0, 2, 3, 1).numpy() / 255}
    for name, parts in (
        ("truth", batch["part_views"][:, 0]),
        ("prediction", torch.cat([row["part_views"] for row in predicted])),
    ):
        rows[name] = np.stack(
            [
                _colored(image, info["class_parts"][label], len(info["parts"]))
                for image, label in zip(parts.numpy(force=True), labels, strict=True)
            ]
        )
    return _draw(rows, _titles(dataset, batch))


def _examples(dataset: PreparedShapes, count: int) -> Batch:
    """Return a batch of shapes evenly spaced over the split, with one view of each, in turn."""
    shapes = np.unique(np.linspace(0, len(dataset) - 1, count).astype(int))
    batch = dataset.__getitems__(shapes.tolist())
    places = torch.arange(len(shapes))
    views = places * batch["views"].shape[1] // len(shapes)
    for key in ("views", "part_views"):
        if key in batch:
            batch[key] = batch[key][places, views, None]
    return batch


def _titles(dataset: PreparedShapes, batch: Batch) -> list[str]:
    """Return the names of a batch's shapes, below those of their classes."""
    names = [dataset.names[row].rsplit("/", 1)[-1] for row in batch["index"]]
    classes = [dataset.metainfo["classes"][label] for label in batch["label"]]
    return [f"{plain(kind, MOST)}\n{plain(name, MOST)}" for kind, name in zip(classes, names, strict=True)]


def _colored(parts: np.ndarray, category_parts: Sequence[int], background: int) -> np.ndarray:
    """Return (H, W) parts as (H, W, 3) RGB in [0, 1], white where there is nothing."""
    colors = part_colors(parts.ravel(), category_parts).reshape(*parts.shape, 3)
    colors[parts == background] = 1
    return colors


def _draw(rows: dict[str, np.ndarray], titles: Sequence[str]) -> Figure:
    """Return images (n, H, W, 3) of each row side by side under n titles, in matplotlib's notation."""
    width, height = LEFT + PANEL * len(titles), TOP + PANEL * len(rows)
    figure = Picture(width, height)
    for column, title in enumerate(titles):
        place = (LEFT + PANEL * (column + 0.5)) / width
        figure.text(place, 1 - TOP / 2 / height, title, ha="center", va="center", fontsize=6)
    for number, (name, images) in enumerate(rows.items()):
        bottom = height - TOP - PANEL * (number + 1)
        middle = (bottom + PANEL / 2) / height
        figure.text(LEFT / 2 / width, middle, name, ha="center", va="center", fontsize=6, rotation=90)
        for column, image in enumerate(images):
            size = (PANEL / width, PANEL / height)
            axes = figure.add_axes(((LEFT + PANEL * column) / width, bottom / height, *size))
            axes.imshow(image)
            axes.set_axis_off()
    return figure
