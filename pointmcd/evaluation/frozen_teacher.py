"""A teacher without training: frozen image networks side by side, a linear probe, and cross-fitted logits."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.device import get_device
from scipy.linalg import eigh
from scipy.special import softmax
from torch.utils.data import DataLoader

from pointmcd.batch import TeacherRows
from pointmcd.datasets.label_choice import (
    Labels,
    fold_numbers,
    fold_record,
    labelled_rows,
    labels_of_record,
    labels_record,
    log_small_classes,
    parts_of_split,
    rows_of_split,
)
from pointmcd.datasets.prepared_shapes import PreparedShapes, whole_batch
from pointmcd.datasets.teacher_cache import TeacherCacheWriter
from pointmcd.datasets.trunk_features import TrunkFeatures
from pointmcd.evaluation.classification import accuracies_of_parts
from pointmcd.evaluation.label_spreading import spread_labels
from pointmcd.evaluation.probe import (
    REGULARISATIONS,
    Probe,
    Standardizer,
    choose_regularisation,
    cross_fitted_logits,
    fit_probe,
)
from pointmcd.models.teachers.frozen import FrozenTrunk

BATCH = 8  # shapes whose views go through a network at a time
SAMPLE = 20_000  # views that a projection is computed from
Track = Callable[..., Iterable[Any]]


class Projection(NamedTuple):
    """Principal components of standardised features: one shift a channel, one scale for all channels.

    One scale keeps the shape of the teacher's space, in which some directions say more than others; the
    descriptors have a mean square of 1 (compare PHI-S, arXiv 2410.01680).
    """

    mean: np.ndarray  # (C,)
    matrix: np.ndarray  # (C, D)

    @classmethod
    def of(cls, features: np.ndarray, widths: Sequence[int], channels: int) -> "Projection":
        """Of features (S, C).

        Args:
            features: Of one or several networks, side by side.
            widths: Channels of each network, C together; each is brought to the same total variance.
            channels: D; at most C.
        """
        step = -(-len(features) // SAMPLE)
        sample = np.asarray(features[::step], np.float64)
        mean = sample.mean(0)
        variance = sample.var(0)
        parts = np.split(variance, np.cumsum(widths)[:-1])
        scale = np.concatenate([np.full(len(part), np.sqrt(max(part.sum(), 1e-12))) for part in parts])
        sample = (sample - mean) / scale
        count = len(scale)
        channels = min(channels, count)
        spread, axes = eigh(sample.T @ sample / len(sample), subset_by_index=(count - channels, count - 1))
        axes = axes[:, ::-1] * np.sign(axes[np.abs(axes).argmax(0), np.arange(channels)])[::-1]
        return cls(mean, axes / scale[:, None] / np.sqrt(max(spread.mean(), 1e-12)))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(..., C) -> (..., D) float32."""
        return ((features - self.mean) @ self.matrix).astype(np.float32)


class FrozenTeacher(NamedTuple):
    """What is fitted on a prepared set, for that set and others."""

    standardizer: Standardizer
    projection: Projection
    probe: Probe
    own_rows: np.ndarray  # (R,) rows of train of which it speaks otherwise than by the probe
    own_logits: np.ndarray  # (R, K), NaN where it may say nothing
    record: dict[str, Any]  # for meta.json


def trunk_features(root: str | Path, trunk: FrozenTrunk, track: Track) -> TrunkFeatures:
    """The features of all splits of a set, from its folder where they are there.

    Args:
        root: Folder of the prepared set.
        trunk: The network.
        track: As ``rich.progress.track``: hands its argument on and shows how far it is.

    Raises:
        ValueError: The set has no views.
    """
    device = get_device()

    def compute(split: str) -> Iterator[torch.Tensor]:
        dataset = PreparedShapes(str(root), split, num_points=1, views="all")
        loader = DataLoader(dataset, batch_size=BATCH, collate_fn=whole_batch)
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

    Raises:
        ValueError: The split or the fraction is none, or there are labels of one class alone.
    """
    if labels.split not in ("train", "fit"):
        raise ValueError(f"a teacher learns from train or fit, not from {labels.split!r}")
    prepared = features[0].prepared
    truth = np.asarray(prepared.split("train").labels)
    num_classes = len(prepared.class_names)
    rows = rows_of_split(truth, labels.split)
    labelled = labelled_rows(truth, labels.split, labels.fraction, labels.seed)
    views = read_views(features, "train")
    of_rows = views[rows]
    projection = Projection.of(
        of_rows.reshape(-1, of_rows.shape[-1]), [one.meta["channels"] for one in features], channels
    )
    standardizer = Standardizer.of(pooled(of_rows))
    looks = standardizer(pooled(views))
    x, y = looks[labelled], truth[labelled]
    numbers = fold_numbers(y, folds, labels.seed) if folds else np.full(len(y), -1)
    tried = REGULARISATIONS if regularisation is None else (regularisation,)
    logits = cross_fitted_logits(x, y, numbers, num_classes, tried)
    chosen = choose_regularisation(logits, y, tried)
    in_folds = numbers >= 0
    probe = fit_probe(x, y, num_classes, tried[chosen])
    rest = np.setdiff1d(rows, labelled)
    spread = spread and len(rest) > 0
    record = {
        "labels": labels_record(prepared.digest, labels.split, labelled, labels.fraction, labels.seed),
        "probe": {
            "regularisation": tried[chosen],
            "cross_fitted_accuracy": _accuracy(logits[chosen][in_folds], y[in_folds]),
            "folds": [fold_record(labelled, numbers, fold) for fold in range(folds)],
            "in_no_fold": int((~in_folds).sum()),
            "spread": spread,
        },
    }
    answers = logits[chosen] if folds else probe.logits(x)
    if folds:
        log_small_classes(y[~in_folds], prepared.class_names, folds)
    if spread:
        start = softmax(probe.logits(looks), 1)
        start[labelled] = np.eye(num_classes)[y]
        wider = np.log(spread_labels(looks[rows], start[rows])[np.isin(rows, rest)] + 1e-4)
        return FrozenTeacher(
            standardizer,
            projection,
            probe,
            np.concatenate([labelled, rest]),
            np.concatenate([answers, wider]),
            record,
        )
    return FrozenTeacher(standardizer, projection, probe, labelled, answers, record)


def pooled(views: np.ndarray) -> np.ndarray:
    """Features (S, V, C) of views as (S, 2 C) of shapes: the mean over views, and the maximum."""
    return np.concatenate([views.mean(1), views.max(1)], -1)


def write_cache(
    root: str | Path, name: str, teacher: FrozenTeacher, features: Sequence[TrunkFeatures], home: bool = True
) -> tuple[Path, dict[str, dict[str, float]]]:
    """Write what a teacher says of all shapes of a set.

    Args:
        root: Folder of the prepared set.
        name: Of the cache.
        teacher: Of ``fit_teacher``.
        features: Of that set, by the networks that the teacher was fitted with.
        home: Whether it is the set that the teacher was fitted to; of another it knows no label.

    Returns:
        The folder of the cache, and the accuracies by split. Those of ``train`` and ``fit`` are of the
        logits that are written: cross-fitted where the label was seen, spread where it was not.
    """
    prepared = features[0].prepared
    figures: dict[str, dict[str, float]] = {}
    with TeacherCacheWriter(root, name) as writer:
        for split in prepared.splits:
            views = read_views(features, split)
            logits = teacher.probe.logits(teacher.standardizer(pooled(views)))
            spoken = np.ones(len(views), bool)
            if home and split == "train":
                logits[teacher.own_rows] = np.nan_to_num(teacher.own_logits)
                spoken[teacher.own_rows] = ~np.isnan(teacher.own_logits[:, 0])
            writer.write_split(split, _batches(teacher.projection, views, logits, spoken))
            truth = np.asarray(prepared.split(split).labels)
            parts = {split: np.arange(len(truth))}
            if home:
                parts = parts_of_split(truth, split, labels_of_record(teacher.record["labels"]))
            if truth.max(initial=0) < logits.shape[1]:
                figures |= accuracies_of_parts(truth, logits, parts, spoken)
        known = [{key: one.meta[key] for key in ("settings", "weights_sha256")} for one in features]
        networks = [{**one["settings"], "weights_sha256": one["weights_sha256"]} for one in known]
        record = {"type": "FrozenTeacher", "trunks": networks}
        return writer.finish({"accuracy": figures, "teacher": record, **teacher.record}), figures


def read_views(features: Sequence[TrunkFeatures], split: str) -> np.ndarray:
    """(S, V, C) float32: the features of all networks side by side."""
    return np.concatenate([np.asarray(one.split(split), np.float32) for one in features], -1)


def _batches(
    projection: Projection, views: np.ndarray, logits: np.ndarray, spoken: np.ndarray
) -> Iterator[TeacherRows]:
    for start in range(0, len(views), 64):
        part = slice(start, start + 64)
        descriptors = projection(views[part])
        yield {
            "view_descriptors": torch.from_numpy(descriptors),
            "descriptor": torch.from_numpy(descriptors.mean(1)),
            "logits": torch.from_numpy(logits[part]),
            "has_logits": torch.from_numpy(spoken[part]),
        }


def _accuracy(logits: np.ndarray, labels: np.ndarray) -> float | None:
    return 100 * float((logits.argmax(1) == labels).mean()) if len(labels) else None
