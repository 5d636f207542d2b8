"""What frozen image networks say of views and points, without any label: descriptors, no classes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pointmcd.datasets.teacher_cache import TeacherCacheWriter
from pointmcd.datasets.trunk_features import TrunkFeatures
from pointmcd.evaluation.projection import Projection
from pointmcd.evaluation.trunk_rows import (
    fitted_digest,
    point_rows,
    read_rows,
    rows_together,
    trunks_record,
    view_rows,
)


def descriptor_projection(features: Sequence[TrunkFeatures], channels: int = 256) -> Projection:
    """Return the projection of the views of ``train``, the one of ``fit_teacher`` on all of ``train``.

    Args:
        features: Of one network or of several, of one set.
        channels: D of the descriptors.
    """
    views = read_rows(features, "train")
    widths = [one.meta["channels"] for one in features]
    return Projection.of(views.reshape(-1, views.shape[-1]), widths, channels)


def write_descriptors(
    root: str | Path,
    name: str,
    projection: Projection,
    features: Sequence[TrunkFeatures],
    points: Sequence[TrunkFeatures] = (),
) -> Path:
    """Write the descriptors of all shapes of a set; no label is looked at, and none is recorded.

    Args:
        root: Folder of the prepared set.
        name: Of the cache.
        projection: Of ``descriptor_projection``.
        features: Of that set, by the networks that the projection was fitted with.
        points: What the networks say of single points, if it is to be written.

    Returns:
        The folder of the cache.
    """
    with TeacherCacheWriter(root, name) as writer:
        for split in features[0].prepared.splits:
            of_views = view_rows(projection, read_rows(features, split))
            categories = np.asarray(features[0].prepared.split(split).labels)
            writer.write_split(split, rows_together(of_views, point_rows(None, points, split, categories)))
        teacher = trunks_record(features)
        fitted = fitted_digest(teacher, projection)
        return writer.finish({"accuracy": {}, "teacher": teacher, "fitted": fitted})
