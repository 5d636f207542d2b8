"""Training shapes again, turned and stretched, each to have views and masks of its own."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointmcd.datasets.preparation.sources.base import Item, Shape, Source

SPLIT = "copies"
"""Of a prepared set, beside ``train``; its shapes are no shapes of their own."""


@dataclass(frozen=True)
class CopySettings:
    """How copies differ from the shapes that they are of.

    Attributes:
        count: Of each training shape.
        turn_deg: Largest angle about the up axis, to either side.
        stretch: Each axis is scaled by a factor between its inverse and it; at least 1.
    """

    count: int
    turn_deg: float = 15.0
    stretch: float = 1.5

    def __post_init__(self) -> None:
        if self.count < 1 or self.stretch < 1 or not 0 <= self.turn_deg <= 180:
            raise ValueError(
                f"copies: {self.count} of each shape (at least 1), turned by up to {self.turn_deg:g} degrees "
                f"(0 to 180), stretched by up to {self.stretch:g} (at least 1)"
            )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class CopiedSource(Source):
    """The shapes of a source, and behind them copies of those of ``train``.

    Args:
        source: What is copied.
        settings: How.
        up: The axis of the raw data that points up, unless a mesh says otherwise.
        seed: With a shape's name it seeds its copies.
    """

    def __init__(self, source: Source, settings: CopySettings, up: str, seed: int) -> None:
        self.source, self.settings, self.raw_up, self.seed = source, settings, up, seed
        self.surfaces, self.normals = source.surfaces, source.normals
        self.rig, self.up = source.rig, source.up
        self.class_names, self.part_names = source.class_names, source.part_names
        self.class_parts = source.class_parts
        train = [item for item in source.items if item.split == "train"]
        others = [item for item in source.items if item.split != "train"]
        numbers = range(1, settings.count + 1)
        copies = [replace(item, name=f"{item.name}~{n}", split=SPLIT) for item in train for n in numbers]
        self.items = [*train, *copies, *others]
        self.originals = {len(train) + place: place // settings.count for place in range(len(copies))}
        """Of each copy's place in ``items`` that of the shape that it is of."""

    def load(self, item: Item) -> Shape:
        """Return a shape, or a copy of one."""
        if item.split != SPLIT:
            return self.source.load(item)
        name, _, number = item.name.rpartition("~")
        shape = self.source.load(replace(item, name=name, split="train"))
        up = self.raw_up if shape.mesh is None else shape.mesh.metadata.get("up") or self.raw_up
        return transformed(shape, self.matrix(name, int(number), up))

    def matrix(self, name: str, number: int, up: str) -> NDArray[np.float64]:
        """Return the matrix (3, 3) of a copy: a turn about the up axis, then a stretch."""
        # here, as `shape` imports the sources
        from pointmcd.datasets.preparation.shape import shape_seed

        rng = np.random.default_rng((shape_seed(name, self.seed), number))
        angle = np.radians(rng.uniform(-self.settings.turn_deg, self.settings.turn_deg))
        first, second = (axis for axis in range(3) if axis != "xyz".index(up))
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        return np.diag(rng.uniform(1 / self.settings.stretch, self.settings.stretch, 3)) @ turn


def transformed(shape: Shape, matrix: NDArray[np.float64]) -> Shape:
    """Return a shape whose points are multiplied by a matrix (3, 3) of positive determinant; parts stay."""
    if shape.mesh is not None:
        mesh = shape.mesh.copy()
        mesh.vertices = np.asarray(mesh.vertices) @ matrix.T
        return replace(shape, mesh=mesh)
    assert shape.points is not None
    points = (shape.points @ matrix.T).astype(shape.points.dtype)
    if shape.normals is None:
        return replace(shape, points=points)
    normals = shape.normals @ np.linalg.inv(matrix)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return replace(shape, points=points, normals=normals.astype(shape.normals.dtype))
