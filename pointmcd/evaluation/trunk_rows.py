"""Rows of teacher caches, from what frozen image networks say of the views and points of a set."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch

from pointmcd.batch import TeacherRows
from pointmcd.datasets.prepared_shapes import COPIES
from pointmcd.datasets.trunk_features import TrunkFeatures
from pointmcd.evaluation.point_targets import PointProbe
from pointmcd.evaluation.projection import Projection

CHUNK = 64  # shapes that are written at a time


def read_rows(features: Sequence[TrunkFeatures], split: str) -> np.ndarray:
    """Return (S, V, C) float32, or (S, N, E) of points: what all networks say, side by side."""
    return np.concatenate([np.asarray(one.split(split), np.float32) for one in features], -1)


def trunks_record(features: Sequence[TrunkFeatures]) -> dict[str, Any]:
    """Return which networks spoke, for meta.json."""
    networks = [{**one.meta["settings"], "weights_sha256": one.meta["weights_sha256"]} for one in features]
    return {"type": "FrozenTeacher", "trunks": networks}


def fitted_digest(record: dict[str, Any], *fitted: Sequence[np.ndarray]) -> str:
    """Return the SHA-256 of what tells a fitted teacher from others: all of its caches hold it.

    Args:
        record: Plain values: its networks and settings.
        fitted: What was fitted: projections and probes, tuples of arrays.
    """
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode())
    for array in (array for part in fitted for array in part):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def view_rows(projection: Projection, views: np.ndarray) -> Iterator[TeacherRows]:
    """Yield the descriptors of views (S, V, C), and their mean, some shapes at a time."""
    for start in range(0, len(views), CHUNK):
        descriptors = projection(views[start : start + CHUNK])
        yield {
            "view_descriptors": torch.from_numpy(descriptors),
            "descriptor": torch.from_numpy(descriptors.mean(1)),
        }


def point_rows(
    probe: PointProbe | None,
    points: Sequence[TrunkFeatures],
    split: str,
    categories: np.ndarray,
    copy_of: np.ndarray | None = None,
) -> Iterator[TeacherRows]:
    """Yield what is said of the points of the same shapes; empty rows where no network was asked.

    Args:
        probe: Of their parts, if there is one.
        points: Of the networks.
        split: Whose shapes these are.
        categories: (S,) of the shapes.
        copy_of: As ``PreparedSet.copy_of``; it is needed with a probe alone.
    """
    arrays = [one.split(split) for one in points]
    originals = {"train": np.arange(len(categories)), COPIES: copy_of}.get(split)
    for start in range(0, len(categories), CHUNK):
        rows: TeacherRows = {}
        part = np.arange(start, min(start + CHUNK, len(categories)))
        if arrays:
            said = np.concatenate([np.asarray(array[part], np.float32) for array in arrays], -1)
            rows["point_descriptors"] = torch.from_numpy(said)
            if probe is not None:
                logits = probe.logits(said, categories[part], None if originals is None else originals[part])
                rows["point_logits"] = torch.from_numpy(logits)
        yield rows


def rows_together(*sources: Iterable[TeacherRows]) -> Iterator[TeacherRows]:
    """Yield the rows of several sources, which say different things of the same shapes, as one."""
    for parts in zip(*sources, strict=True):
        together: dict[str, Any] = {}
        for rows in parts:
            together |= rows
        yield cast(TeacherRows, together)
