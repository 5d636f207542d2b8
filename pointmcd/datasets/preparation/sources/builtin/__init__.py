"""Shapes that need no download: everyday things generated from a seed, every face labelled with its part."""

import argparse
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from pointmcd.datasets.preparation.sources.base import Item, Shape, Source, SourceError, number_parts
from pointmcd.datasets.preparation.sources.builtin import seats, tables, vessels
from pointmcd.datasets.preparation.sources.builtin.solids import assemble
from pointmcd.registry import SOURCES

__all__ = ["CATEGORIES", "BuiltinShapes", "generate"]

CATEGORIES = {
    "bench": (seats.bench, ("seat", "leg", "back")),
    "bookshelf": (tables.bookshelf, ("frame", "shelf", "leg", "book")),
    "bottle": (vessels.bottle, ("body", "cap")),
    "bowl": (vessels.bowl, ("body", "saucer")),
    "chair": (seats.chair, ("seat", "leg", "back", "arm")),
    "cup": (vessels.cup, ("body", "handle", "saucer")),
    "desk": (tables.desk, ("top", "leg", "drawer")),
    "dresser": (tables.dresser, ("body", "leg", "drawer", "handle")),
    "jar": (vessels.jar, ("body", "lid")),
    "jug": (vessels.jug, ("body", "handle")),
    "lamp": (vessels.lamp, ("base", "pole", "shade")),
    "stool": (seats.stool, ("seat", "leg")),
    "table": (tables.table, ("top", "leg", "apron")),
    "teapot": (vessels.teapot, ("body", "lid", "handle", "spout")),
    "vase": (vessels.vase, ("body",)),
    "wardrobe": (tables.wardrobe, ("body", "leg", "door", "handle")),
}
"""What draws a shape of each category, and the parts that it may have."""


def generate(
    category: str, rng: np.random.Generator, yaw_deg: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw one shape of a category (a key of ``CATEGORIES``).

    Args:
        yaw_deg: The shape is turned about z by an angle drawn from [-yaw_deg, yaw_deg], in degrees.

    Returns:
        vertices (V, 3) float64 with z up, in arbitrary units; faces (F, 3) int64, none of zero area;
        part of each face (F,) int64, an index into the category's parts.
    """
    draw, parts = CATEGORIES[category]
    vertices, faces, face_parts = assemble(draw(rng), parts)
    return deform(vertices, rng, yaw_deg), faces, face_parts


def deform(vertices: np.ndarray, rng: np.random.Generator, yaw_deg: float) -> np.ndarray:
    """Stretch, taper, bend and turn a whole shape (V, 3); the up axis stays up."""
    low, high = vertices.min(0), vertices.max(0)
    center, height = (low + high) / 2, high[2] - low[2]
    points = (vertices - center) * rng.uniform(0.87, 1.15, 3)
    z = points[:, 2:] / height
    points[:, :2] *= 1 + rng.uniform(-0.2, 0.2) * z
    points[:, :2] += rng.uniform(-0.08, 0.08, 2) * height * (z**2 + z)
    yaw_rad = np.deg2rad(rng.uniform(-yaw_deg, yaw_deg))
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    return points @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])


@SOURCES.register_module(name="builtin")
class BuiltinShapes(Source):
    """Sixteen kinds of everyday things, generated: the same arguments always give the same shapes.

    Args:
        train: Shapes a category in the train split.
        test: Shapes a category in the test split.
        seed: Another seed draws other shapes.
        yaw_deg: Shapes are turned about z by up to this angle either way, in degrees.
        categories: Some of ``CATEGORIES``, or None for all; a category's shapes are the same in both.

    Raises:
        SourceError: A count, the seed or the angle is out of range, or a category is not known.
    """

    how_to_prepare: ClassVar = {
        "builtinpart": "Prepare them: pointmcd prepare builtin --rig rings2x8 --image-size 96"
    }
    class_parts: list[list[int]]

    def __init__(
        self,
        train: int = 30,
        test: int = 15,
        seed: int = 0,
        yaw_deg: float = 180.0,
        categories: Sequence[str] | None = None,
    ) -> None:
        if train < 1 or test < 1:
            raise SourceError(
                f"built-in shapes need at least one per class and split, got {train} train, {test} test"
            )
        if seed < 0:
            raise SourceError(f"the seed of the built-in shapes must not be negative, got {seed}")
        if not 0 <= yaw_deg <= 180:
            raise SourceError(f"yaw_deg must be in 0..180, got {yaw_deg}")
        if unknown := sorted(set(categories or ()) - set(CATEGORIES)):
            raise SourceError(f"no category {', '.join(unknown)}; there are {', '.join(CATEGORIES)}")
        self.seed = seed
        self.yaw_deg = yaw_deg
        self.class_names = [name for name in CATEGORIES if not categories or name in categories]
        self.part_names, self.class_parts = number_parts(
            {name: CATEGORIES[name][1] for name in self.class_names}
        )
        self.items = [
            Item(f"{name}_{index:04d}", label, split)
            for split, numbers in (("train", range(train)), ("test", range(train, train + test)))
            for label, name in enumerate(self.class_names)
            for index in numbers
        ]

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--train", type=int, default=30, help="shapes a class to train on (30)")
        parser.add_argument("--test", type=int, default=15, help="shapes a class to test on (15)")
        parser.add_argument("--seed", type=int, default=0, help="another seed draws other shapes (0)")
        parser.add_argument(
            "--yaw-deg",
            type=float,
            default=180.0,
            help="turn shapes about the up axis by up to this angle (180)",
        )
        parser.add_argument(
            "--categories", nargs="+", metavar="NAME", help=f"some of {', '.join(CATEGORIES)}; default: all"
        )

    def load(self, item: Item) -> Shape:
        import trimesh

        category = self.class_names[item.label]
        number = int(item.name.rsplit("_", 1)[1])
        split = ("train", "test").index(item.split)
        rng = np.random.default_rng([self.seed, split, list(CATEGORIES).index(category), number])
        vertices, faces, face_parts = generate(category, rng, self.yaw_deg)
        first = self.class_parts[item.label][0]
        return Shape(mesh=trimesh.Trimesh(vertices, faces, process=False), face_parts=face_parts + first)
