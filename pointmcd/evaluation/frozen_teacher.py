"""A teacher without training: frozen image networks side by side, a linear probe, and cross-fitted logits."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.device import get_device
from scipy.special import softmax
from torch.utils.data import DataLoader

from pointmcd.batch import TeacherRows
from pointmcd.cpu import set_up_cpu
from pointmcd.datasets.label_choice import (
    IN_NO_FOLD,
    Labels,
    fold_numbers,
    fold_record,
    folds_of_rows,
    labelled_rows,
    labels_of_record,
    labels_record,
    log_small_classes,
    parts_of_split,
    rows_of_split,
)
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.prepared_shapes import COPIES, PreparedShapes, whole_batch
from pointmcd.datasets.teacher_cache import TeacherCacheWriter
from pointmcd.datasets.trunk_features import TrunkFeatures
from pointmcd.evaluation.classification import accuracies_of_parts
from pointmcd.evaluation.label_spreading import spread_labels
from pointmcd.evaluation.point_targets import PointProbe, fit_point_probe
from pointmcd.evaluation.probe import (
    REGULARISATIONS,
    Probe,
    Standardizer,
    choose_regularisation,
    cross_fitted_logits,
    fit_probe,
)
from pointmcd.evaluation.projection import Projection
from pointmcd.evaluation.trunk_rows import (
    CHUNK,
    fitted_digest,
    point_rows,
    read_rows,
    rows_together,
    trunks_record,
    view_rows,
)
from pointmcd.models.teachers.frozen import FrozenTrunk
from pointmcd.models.teachers.image_text import ImageTextModel

BATCH = 8  # shapes whose views go through a network at a time
Track = Callable[..., Iterable[Any]]


class FrozenTeacher(NamedTuple):
    """What is fitted on a prepared set, for that set and others."""

    standardizer: Standardizer
    projection: Projection
    probe: Probe
    own_rows: np.ndarray  # (R,) rows of train of which it speaks otherwise than by the probe
    own_logits: np.ndarray  # (R, K), NaN where it may say nothing
    record: dict[str, Any]  # for meta.json
    point_probe: PointProbe | None = None  # of the parts of points
    fold_of_row: np.ndarray | None = None  # (S,) of each row of train, as ``folds_of_rows``
    fold_probes: Sequence[Probe] = ()  # one without each fold, where there are copies to speak of
    views_asked: int | None = None  # None: all


def trunk_features(root: str | Path, trunk: FrozenTrunk | ImageTextModel, track: Track) -> TrunkFeatures:
    """Return the features of all splits of a set, from its folder where they are there.

    Args:
        root: Folder of the prepared set.
        trunk: The network.
        track: As ``pointmcd.progress.Progress.track``: hands its argument on and shows how far it is.

    Raises:
        ValueError: The set has no views.
    """
    PreparedSet(root).require_views()
    device = get_device()
    if device == "cpu":
        set_up_cpu()

    def compute(split: str) -> Iterator[torch.Tensor]:
        dataset = PreparedShapes(str(root), split, num_points=1, views="all")
        loader = DataLoader(dataset, batch_size=BATCH, collate_fn=whole_batch)
        if isinstance(trunk, FrozenTrunk):
            trunk.hasten()
        trunk.to(device)
        for batch in track(loader, description=f"{trunk.settings['trunk']}, {split}"):
            yield trunk(batch["views"].to(device))

    return TrunkFeatures.opened_or_written(root, trunk.settings, trunk.weights_sha256(), compute)


def fit_teacher(
    features: Sequence[TrunkFeatures],
    labels: Labels,
    folds: int = 5,
    channels: int = 256,
    regularisation: float | None = None,
    spread: bool = True,
    points: Sequence[TrunkFeatures] = (),
    views_asked: int | None = None,
) -> FrozenTeacher:
    """Fit projection, probe and cross-fitted logits to what a student may know of ``train``.

    Args:
        features: Of one network or of several, of one set.
        labels: Which labels are seen. Shift, scale, projection and neighbourhoods, which need none, see all
            shapes of the split.
        folds: K; 0 for none, so that the probe speaks of the shapes that it was trained on.
        channels: D of the descriptors.
        regularisation: C of the probe; None chooses among ``REGULARISATIONS`` by the cross-entropy of the
            folds left out.
        spread: Let the shapes of the split without a label take the classes of those that look alike
            (``spread_labels``), from the labels and the probe's probabilities on.
        points: What the networks say of single points (``point_features``); of a set with parts a probe of
            these is fitted too.
        views_asked: The classes are said by so many views of each shape, evenly chosen; None: by all. Its
            descriptors are of all views.

    Raises:
        ValueError: The split or the fraction is none, there are labels of one class alone, there are not so
            many views, or no class has so many labelled shapes as there are folds and every shape a label.
    """
    if labels.split not in ("train", "fit"):
        raise ValueError(f"a teacher learns from train or fit, not from {labels.split!r}")
    prepared = features[0].prepared
    truth = np.asarray(prepared.split("train").labels)
    num_classes = len(prepared.class_names)
    rows = rows_of_split(truth, labels.split)
    labelled = labelled_rows(truth, labels.split, labels.fraction, labels.seed)
    views = read_rows(features, "train")
    of_rows = views[rows]
    projection = Projection.of(
        of_rows.reshape(-1, of_rows.shape[-1]), [one.meta["channels"] for one in features], channels
    )
    standardizer = Standardizer.of(pooled(of_rows, views_asked))
    looks = standardizer(pooled(views, views_asked))
    x, y = looks[labelled], truth[labelled]
    numbers = fold_numbers(y, folds, labels.seed) if folds else np.full(len(y), -1)
    in_folds = numbers >= 0
    if folds and not in_folds.any() and len(labelled) == len(rows):
        raise ValueError(
            f"no class has {folds} labelled shapes or more, and there are none without a label: the teacher "
            "would say nothing of any training shape; give fewer --folds, or 0"
        )
    tried = REGULARISATIONS if regularisation is None else (regularisation,)
    logits = cross_fitted_logits(x, y, numbers, num_classes, tried)
    chosen = choose_regularisation(logits, y, tried)
    probe = fit_probe(x, y, num_classes, tried[chosen])
    rest = np.setdiff1d(rows, labelled)
    spread = spread and len(rest) > 0
    record: dict[str, Any] = {
        "labels": labels_record(prepared.digest, labels.split, labelled, labels.fraction, labels.seed),
        "probe": {
            "regularisation": tried[chosen],
            "cross_fitted_accuracy": _accuracy(logits[chosen][in_folds], y[in_folds]),
            "folds": [fold_record(labelled, numbers, fold) for fold in range(folds)],
            "in_no_fold": int((~in_folds).sum()),
            "spread": spread,
            "views": views.shape[1] if views_asked is None else views_asked,
        },
    }
    record["fitted"] = fitted_digest(record | trunks_record(features), standardizer, projection, probe)
    record["class_names"] = prepared.class_names
    answers = logits[chosen] if folds else probe.logits(x)
    point_probe = None
    if points and prepared.part_names is not None:
        point_probe = fit_point_probe(read_rows(points, "train"), prepared, labelled, numbers)
        record["point_probe"] = point_probe.record
    if folds:
        log_small_classes(y[~in_folds], prepared.class_names, folds)
    of_rows_folds = folds_of_rows(len(truth), labelled, numbers if folds else None)
    fold_probes = [
        fit_probe(x[numbers != fold], y[numbers != fold], num_classes, tried[chosen])
        for fold in range(folds if len(prepared.copy_of) else 0)
    ]
    if spread:
        start = softmax(probe.logits(looks), 1)
        start[labelled] = np.eye(num_classes)[y]
        wider = np.log(spread_labels(looks[rows], start[rows])[np.isin(rows, rest)] + 1e-4)
        labelled, answers = np.concatenate([labelled, rest]), np.concatenate([answers, wider])
    return FrozenTeacher(
        standardizer,
        projection,
        probe,
        labelled,
        answers,
        record,
        point_probe,
        of_rows_folds,
        fold_probes,
        views_asked,
    )


def pooled(views: np.ndarray, asked: int | None = None) -> np.ndarray:
    """Return features (S, V, C) of views as (S, 2 C) of shapes: the mean over views, and the maximum.

    Of ``asked`` views alone where it is given: of 12 views and 4 of every third, from the first on.
    """
    count = views.shape[1]
    if asked is not None:
        if not 1 <= asked <= count:
            raise ValueError(f"{asked} views of each shape are asked for, but there are {count}")
        views = views[:, np.arange(asked) * count // asked]
    return np.concatenate([views.mean(1), views.max(1)], -1)


def write_cache(
    root: str | Path,
    name: str,
    teacher: FrozenTeacher,
    features: Sequence[TrunkFeatures],
    home: bool = True,
    points: Sequence[TrunkFeatures] = (),
) -> tuple[Path, dict[str, dict[str, float]]]:
    """Write what a teacher says of all shapes of a set.

    Args:
        root: Folder of the prepared set.
        name: Of the cache.
        teacher: Of ``fit_teacher``.
        features: Of that set, by the networks that the teacher was fitted with.
        home: Whether it is the set that the teacher was fitted to; of another it knows no label.
        points: What the networks say of single points of the home set, if it is to be written.

    Returns:
        The folder of the cache, and the accuracies by split. Those of ``train`` and ``fit`` are of the
        logits that are written: cross-fitted where the label was seen, spread where it was not. A set
        of other classes has none.
    """
    prepared = features[0].prepared
    figures: dict[str, dict[str, float]] = {}
    with TeacherCacheWriter(root, name) as writer:
        for split in prepared.splits:
            views = read_rows(features, split)
            looks = teacher.standardizer(pooled(views, teacher.views_asked))
            logits = teacher.probe.logits(looks)
            spoken = np.ones(len(views), bool)
            if home and split == "train":
                logits[teacher.own_rows] = np.nan_to_num(teacher.own_logits)
                spoken[teacher.own_rows] = ~np.isnan(teacher.own_logits[:, 0])
            if home and split == COPIES and teacher.fold_of_row is not None:
                of_copies = teacher.fold_of_row[prepared.copy_of]
                for fold, probe in enumerate(teacher.fold_probes):
                    logits[of_copies == fold] = probe.logits(looks[of_copies == fold])
                spoken = of_copies != IN_NO_FOLD
            truth = np.asarray(prepared.split(split).labels)
            rows = rows_together(
                view_rows(teacher.projection, views),
                _logit_rows(logits, spoken),
                point_rows(teacher.point_probe, points, split, truth, prepared.copy_of),
            )
            writer.write_split(split, rows)
            parts = {split: np.arange(len(truth))}
            if home:
                parts = parts_of_split(truth, split, labels_of_record(teacher.record["labels"]))
            if prepared.class_names == teacher.record["class_names"]:
                figures |= accuracies_of_parts(truth, logits, parts, spoken)
        known = {"accuracy": figures, "teacher": trunks_record(features), **teacher.record}
        return writer.finish(known), figures


def _logit_rows(logits: np.ndarray, spoken: np.ndarray) -> Iterator[TeacherRows]:
    for start in range(0, len(logits), CHUNK):
        part = slice(start, start + CHUNK)
        yield {"logits": torch.from_numpy(logits[part]), "has_logits": torch.from_numpy(spoken[part])}


def _accuracy(logits: np.ndarray, labels: np.ndarray) -> float | None:
    return 100 * float((logits.argmax(1) == labels).mean()) if len(labels) else None
