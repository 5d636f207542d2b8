"""A source: ``pointmcd prepare --imports my_source my-balls --out data/balls``."""

import argparse

import numpy as np

from pointmcd.datasets.preparation.sources import Item, Shape, Source
from pointmcd.registry import SOURCES


@SOURCES.register_module(name="my-balls")
class Balls(Source):
    """Balls that were pressed flat, and balls that were drawn out.

    Args:
        count: Shapes per class and split.
        seed: Seeds how far.
    """

    def __init__(self, count: int = 4, seed: int = 0) -> None:
        self.class_names = ["flat", "tall"]
        self.seed = seed
        self.items = [
            Item(f"{name}_{split}_{number:02d}", label, split)
            for split in ("train", "test")
            for label, name in enumerate(self.class_names)
            for number in range(count)
        ]

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments of the constructor; ``--seed`` is the command's own."""
        parser.add_argument("--count", type=int, default=4, help="shapes a class and split (4)")

    def load(self, item: Item) -> Shape:
        """Make one; a source with files reads one here, and raises ``MeshError`` for a bad one."""
        from trimesh.creation import icosphere

        draw = np.random.default_rng([self.seed, self.items.index(item)])
        stretch = draw.uniform(0.3, 0.8) ** (1 if item.label == 0 else -1)
        return Shape(mesh=icosphere(subdivisions=2).apply_transform(np.diag([1, 1, stretch, 1])))
