"""How right are students of shapes that something has befallen?"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from pointmcd.apis.student import Student
from pointmcd.datasets.prepared_split import PreparedSplit
from pointmcd.evaluation.corruptions import CORRUPTIONS, generator
from pointmcd.geometry import normalize
from pointmcd.ops import farthest_point_sample
from pointmcd.progress import track

CLEAN = "clean"
BATCH = 32


def measure(
    students: Mapping[str, Sequence[Student]],
    split: PreparedSplit,
    names: Sequence[str],
    seed: int = 0,
    severities: Sequence[int] | None = None,
    progress: bool = False,
) -> dict[str, dict[str, np.ndarray]]:
    """Show the shapes of a split to all students, as they are and after every corruption.

    Args:
        students: Methods, each with its R seeds. All classify the classes of the set (``check_classes``).
        split: The S shapes.
        names: Of the corruptions.
        seed: Of the corruptions; the same for all students, so that they are compared on the same clouds.
        severities: Which of 1 to 5; None: all. What has one alone, such as rotations, is always shown.
        progress: Show a bar.

    Returns:
        By corruption, ``clean`` the first, and by method (L, R, S) bool: who is right of which shape at
        which of the L severities; one of ``clean``.

    Raises:
        ValueError: There is no such corruption or severity.
    """
    if severities is not None and (not severities or not {*severities} <= {1, 2, 3, 4, 5}):
        raise ValueError(f"severities are 1 to 5, not {', '.join(map(str, severities)) or 'none'}")
    for name in names:
        if name not in CORRUPTIONS:
            raise ValueError(f"there is no corruption {name!r}; there are {', '.join(CORRUPTIONS)}")
    wanted = {CLEAN: [0]} | {name: _severities(name, severities) for name in names}
    found: dict[str, dict[str, list[np.ndarray]]] = {
        name: {method: [] for method in students} for name in wanted
    }
    steps = [(name, severity) for name, severities in wanted.items() for severity in severities]
    for name, severity in track(steps, "corruptions") if progress else steps:
        for method, right in are_right(students, split, name, severity, seed).items():
            found[name][method].append(right)
    return {
        name: {method: np.stack(severities) for method, severities in of_methods.items()}
        for name, of_methods in found.items()
    }


def _severities(name: str, chosen: Sequence[int] | None) -> list[int]:
    count = len(CORRUPTIONS[name].levels)
    return [number for number in range(1, count + 1) if count == 1 or chosen is None or number in chosen]


def corrupted_cloud(
    split: PreparedSplit, row: int, name: str, severity: int, num_points: int, seed: int = 0
) -> np.ndarray:
    """Return a shape of a prepared split as a student is to see it.

    Args:
        split: Of a prepared set.
        row: Of the split.
        name: A corruption, or ``clean``.
        severity: 1 and up; 0 of ``clean``.
        num_points: N, what the student looks at. Corruptions that drop or add points give fewer or more, as
            many for every shape; a ``dense`` one gives N, some of them twice where too few are left.
        seed: Of the draws; the same for all students, so that they are compared on the same clouds.

    Returns:
        (M, 3) float32.
    """
    if name == CLEAN:
        return np.array(split.points[row, :num_points])
    kind = CORRUPTIONS[name]
    rng, level = generator(name, row, seed), kind.levels[severity - 1]
    if kind.dense:
        normals = None if split.normals is None else np.asarray(split.normals[row], np.float64)
        cloud = kind.change(np.asarray(split.points[row], np.float64), rng, level, normals=normals)
    else:
        cloud = kind.change(np.asarray(split.points[row, :num_points], np.float64), rng, level)
    if kind.rescaled:
        cloud = normalize(cloud)[0]
    return (resized(cloud, num_points) if kind.dense else cloud).astype(np.float32)


def resized(cloud: np.ndarray, num_points: int) -> np.ndarray:
    """Map (M, 3) to (num_points, 3): farthest points first, or all of them, over and over."""
    if len(cloud) < num_points:
        return np.resize(cloud, (num_points, 3))
    return cloud[farthest_point_sample(torch.from_numpy(cloud)[None], num_points)[0].numpy()]


def are_right(
    students: Mapping[str, Sequence[Student]],
    split: PreparedSplit,
    name: str,
    severity: int,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Return whether each student is right of each shape.

    Args:
        students: Methods, each with its R seeds. All classify the classes of the set.
        split: The S shapes.
        name: As ``corrupted_cloud``.
        severity: As ``corrupted_cloud``.
        seed: As ``corrupted_cloud``.

    Returns:
        By method (R, S) bool.
    """
    clouds = {
        count: np.stack(
            [corrupted_cloud(split, row, name, severity, count, seed) for row in range(len(split))]
        )
        for count in {one.num_points for seeds in students.values() for one in seeds}
    }
    return {
        method: np.stack([predictions(one, clouds[one.num_points]) == split.labels for one in seeds])
        for method, seeds in students.items()
    }


def check_classes(student: Student, class_names: Sequence[str], file: str) -> None:
    """Refuse a student that these clouds cannot be shown to.

    Raises:
        ValueError: It does not classify, has other classes, or looks at more of a point than its place.
    """
    if student.task != "classify":
        raise ValueError(f"{file} does not classify shapes; robustness is measured for students that do")
    if student.inputs:
        raise ValueError(
            f"{file} sees {' and '.join(student.inputs)}, which corruptions leave unchanged; robustness is "
            "measured for students that see only x, y, z"
        )
    if student.class_names != list(class_names):
        raise ValueError(
            f"{file} knows {len(student.class_names)} classes, the set has {len(class_names)}, and they are "
            "not the same; give the set that it was trained on, or one with its classes"
        )
    if student.model.backbone.in_channels != 3:
        raise ValueError(f"{file} looks at more of a point than x, y and z, which corruptions do not change")


def predictions(student: Student, clouds: np.ndarray) -> np.ndarray:
    """Return classes (S,) that a student takes clouds (S, M, 3) for, batch by batch."""
    batches = np.split(clouds, range(BATCH, len(clouds), BATCH))
    return np.concatenate([student.probabilities(batch).argmax(-1).numpy() for batch in batches])
