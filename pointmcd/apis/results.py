"""What a student says of a shape."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Prediction(NamedTuple):
    """One class and its probability."""

    name: str
    probability: float


class Segmentation(NamedTuple):
    """The part of each point of a shape.

    Attributes:
        points: (N, 3) float32 in the unit ball, z up; which ones, ``Student.segment`` says.
        parts: (N,) int64, rows of ``part_names``.
        part_names: Names of all parts of all categories.
        category: Of the shape, as it was given.
        category_parts: The parts that a shape of that category can have.
    """

    points: np.ndarray
    parts: np.ndarray
    part_names: list[str]
    category: str
    category_parts: list[int]

    def names(self) -> np.ndarray:
        """Return (N,) str, the name of each point's part."""
        return np.asarray(self.part_names)[self.parts]

    def draw(self) -> "Figure":
        """Return a picture of the points, coloured by part; ``.savefig(path)`` writes it."""
        from pointmcd.visualization.parts import SegmentedShape, draw_parts

        shape = SegmentedShape(self.category, self.points, self.parts, self.category_parts)
        return draw_parts([shape], self.part_names)
