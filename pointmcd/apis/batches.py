"""What a student makes of many shapes: batch by batch, and a bad shape harms no other."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from pointmcd.datasets.preparation.sources import Shape
from pointmcd.geometry import MeshError

NOT_FINITE = "the network's output for this shape is not finite (NaN or infinite)"


class Network(Protocol):
    """What is needed of a ``Student``."""

    def prepared(self, shape: Shape, name: str) -> np.ndarray:
        """Return (N, in_channels) points of a shape."""

    def forward(self, points: Tensor, label: Tensor | None) -> dict[str, Tensor]:
        """Return ``global_feats`` and, of a student with a head, ``logits`` of points (B, N, in_channels)."""


class Task(NamedTuple):
    """A shape to look at.

    Attributes:
        name: What messages and results call it.
        load: Reads it; a ``ValueError`` rejects it.
        seed_name: Its last part seeds the sampling of its points; a file's stem does in preparation.
        label: Its category, an index into ``Student.class_names``, where the student segments.
        place: Its path within the folder or archive that was given, or a file's name.
    """

    name: str
    load: Callable[[], Shape]
    seed_name: str = ""
    label: int | None = None
    place: str = ""


class Outcome(NamedTuple):
    """What the network says of a shape.

    Attributes:
        task: The task.
        shape: As it was read.
        points: (N, in_channels) float32, what the network saw.
        logits: (K,), or (N, P) of parts, float32; None of a student without a head.
        embedding: (C,) float32, the pooled feature.
    """

    task: Task
    shape: Shape
    points: np.ndarray
    logits: np.ndarray | None
    embedding: np.ndarray


class Rejected(NamedTuple):
    """A shape that cannot be used, and why."""

    task: Task
    reason: str


def outcomes(student: Network, tasks: Iterable[Task], batch_size: int = 16) -> Iterator[Outcome | Rejected]:
    """Look at shapes in their order.

    Args:
        student: The student.
        tasks: The shapes; read as they are needed.
        batch_size: How many go through the network at a time; makes no difference but for rounding.

    Yields:
        For each task, what the network says of it or why it cannot.
    """
    waiting: list[tuple[Task, Shape, np.ndarray] | Rejected] = []
    read = 0
    for task in tasks:
        try:
            shape = task.load()
            waiting.append((task, shape, student.prepared(shape, task.seed_name)))
            read += 1
        except (ValueError, MemoryError, RecursionError) as error:
            waiting.append(Rejected(task, str(error) or "it needs more memory than there is"))
        if read == batch_size:
            yield from _run(student, waiting)
            waiting, read = [], 0
    yield from _run(student, waiting)


@torch.inference_mode()
def _run(
    student: Network, waiting: list[tuple[Task, Shape, np.ndarray] | Rejected]
) -> Iterator[Outcome | Rejected]:
    usable = [one for one in waiting if not isinstance(one, Rejected)]
    said: Iterator[tuple[np.ndarray | None, np.ndarray]] = iter(())
    if usable:
        points = torch.from_numpy(np.stack([points for _, _, points in usable]))
        labels = [task.label for task, _, _ in usable if task.label is not None]
        features = student.forward(points, torch.tensor(labels) if labels else None)
        embeddings = features["global_feats"].float().cpu().numpy()
        logits = features["logits"].float().cpu().numpy() if "logits" in features else [None] * len(usable)
        said = zip(logits, embeddings, strict=True)
    for one in waiting:
        if isinstance(one, Rejected):
            yield one
            continue
        task, shape, seen = one
        scores, embedding = next(said)
        if not all(np.isfinite(values).all() for values in (scores, embedding) if values is not None):
            yield Rejected(task, NOT_FINITE)
        else:
            yield Outcome(task, shape, seen, scores, embedding)


def all_or_none(found: Iterable[Outcome | Rejected]) -> list[Outcome]:
    """Return the outcomes of shapes all of which are to be usable.

    Raises:
        MeshError: One is not; the text names it.
    """
    usable = []
    for one in found:
        if isinstance(one, Rejected):
            prefix = "" if one.task.name in one.reason else f"{one.task.name}: "
            raise MeshError(f"{prefix}{one.reason}")
        usable.append(one)
    return usable
