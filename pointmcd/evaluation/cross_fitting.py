"""Teachers of which the logits alone are kept: trained networks, each of which has seen labels of its own."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from scipy.special import log_softmax

from pointmcd.batch import TeacherRows
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
)
from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.datasets.prepared_shapes import COPIES
from pointmcd.datasets.teacher_cache import TeacherCacheWriter
from pointmcd.engine.agreement import statement_of
from pointmcd.engine.labels_seen import check_own_set, check_own_weights
from pointmcd.evaluation.classification import accuracies_of_parts
from pointmcd.evaluation.trunk_rows import CHUNK

Figures = dict[str, dict[str, float]]


class Member(NamedTuple):
    """A trained network: what it says of a set, and which of its labels it has seen."""

    logits: dict[str, np.ndarray]  # (S, K) of every split
    labels: Labels
    record: dict[str, Any]  # what is to be known of it


class Opinion(NamedTuple):
    """What a teacher says of a set."""

    logits: dict[str, np.ndarray]  # (S, K) log-probabilities of every split
    spoken: dict[str, np.ndarray]  # (S,) bool, where it may speak
    record: dict[str, Any]  # for meta.json
    of_points: Mapping[str, Mapping[str, np.ndarray]] = {}  # by split and name, (S, N, ...) of single points


def check_start(checkpoint: dict[str, Any], source: str | Path, prepared: PreparedSet) -> None:
    """Refuse a training of which its own labels are not all that it has seen.

    Args:
        checkpoint: Of ``read_checkpoint``.
        source: The file, for the error.
        prepared: The set that it is to be asked about.

    Raises:
        ValueError: It was trained on other data, or began with the weights of another training.
    """
    check_own_set(checkpoint, source, prepared)
    if statement_of(checkpoint).get("data_digest") is None:
        raise ValueError(
            f"{source} does not say whether it was trained on {prepared.root}, so its labels are not known; "
            "train it again"
        )
    check_own_weights(checkpoint, source)


def cross_fitted(prepared: PreparedSet, members: Sequence[Member]) -> Opinion:
    """Return what one network says or, of K that each lacked one of K folds, what has seen no answer.

    Each labelled shape is spoken of by the network that was trained without its fold; shapes without a label
    by all of them, in the mean of their log-probabilities. Shapes in no fold are in the training of all, so
    that none may speak of them.

    Args:
        prepared: The set.
        members: One network, or K.

    Raises:
        ValueError: Several networks are not those of the K folds of the same labels.
    """
    first = members[0].labels
    whole = first if len(members) == 1 else first._replace(without_fold=None)
    truth = np.asarray(prepared.split("train").labels)
    labelled = labelled_rows(truth, *whole)
    said = {split: [log_softmax(one.logits[split], 1) for one in members] for split in prepared.splits}
    logits = {split: np.mean(rows, 0) for split, rows in said.items()}
    spoken = {split: np.ones(len(rows), bool) for split, rows in logits.items()}
    record: dict[str, Any] = {
        "labels": labels_record(prepared.digest, whole.split, labelled, *whole[1:]),
        "members": [one.record for one in members],
    }
    if len(members) > 1:
        place = _places(members)
        numbers = fold_numbers(truth[labelled], len(members), whole.seed)
        for fold, member in enumerate(place):
            own = labelled[numbers == fold]
            logits["train"][own] = said["train"][member][own]
        spoken["train"][labelled[numbers < 0]] = False
        if len(prepared.copy_of):  # of a shape speaks who has not seen its label, and so of its copies
            of_copies = folds_of_rows(len(truth), labelled, numbers)[prepared.copy_of]
            for fold, member in enumerate(place):
                logits[COPIES][of_copies == fold] = said[COPIES][member][of_copies == fold]
            spoken[COPIES] = of_copies != IN_NO_FOLD
        log_small_classes(truth[labelled[numbers < 0]], prepared.class_names, len(members))
        record["folds"] = [
            {**fold_record(labelled, numbers, fold), "member": member} for fold, member in enumerate(place)
        ]
        record["in_no_fold"] = int((numbers < 0).sum())
    return Opinion(logits, spoken, record)


def _places(members: Sequence[Member]) -> list[int]:
    """Return which of the networks was trained without each fold."""
    folds = len(members)
    if len({one.labels._replace(without_fold=None) for one in members}) > 1:
        raise ValueError(
            "the checkpoints were trained on different labels (split, label_fraction, fraction_seed): "
            + "; ".join(str(tuple(one.labels[:3])) for one in members)
        )
    found = [one.labels.without_fold for one in members]
    if sorted(fold for fold in found if fold is not None) != [(k, folds) for k in range(folds)]:
        raise ValueError(
            f"{folds} checkpoints must be those of {folds} folds, each trained with a different "
            f"train_dataloader.dataset.without_fold=(k,{folds}); these were trained with "
            f"{', '.join(str(fold) for fold in found)}"
        )
    return [found.index((fold, folds)) for fold in range(folds)]


def write_opinion(root: str | Path, name: str, opinion: Opinion) -> tuple[Path, Figures]:
    """Write a cache of logits, and of what there is of single points.

    Args:
        root: Folder of the prepared set.
        name: Of the cache.
        opinion: What the teacher says.

    Returns:
        The folder of the cache, and the accuracies by split and part of it.
    """
    figures: Figures = {}
    classes = opinion.record.get("class_names")  # of an average that is for a set of other classes
    known = labels_of_record(opinion.record["labels"])
    with TeacherCacheWriter(root, name) as writer:
        for split in writer.prepared.splits:
            logits, spoken = opinion.logits[split], opinion.spoken[split]
            arrays = {"logits": logits, "has_logits": spoken, **opinion.of_points.get(split, {})}
            writer.write_split(split, _in_chunks(arrays))
            if classes not in (None, writer.prepared.class_names):
                continue
            truth = np.asarray(writer.prepared.split(split).labels)
            figures |= accuracies_of_parts(truth, logits, parts_of_split(truth, split, known), spoken)
        return writer.finish({"accuracy": figures, **opinion.record}), figures


def _in_chunks(arrays: Mapping[str, np.ndarray]) -> Iterator[TeacherRows]:
    """Give rows of arrays (S, ...) that need not fit in memory."""
    for start in range(0, len(arrays["logits"]), CHUNK):
        rows = {name: torch.from_numpy(array[start : start + CHUNK].copy()) for name, array in arrays.items()}
        yield cast(TeacherRows, rows)
