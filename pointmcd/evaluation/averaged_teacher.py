"""Several cached teachers as one: the mean of their log-probabilities."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import log_softmax

from pointmcd.datasets.label_choice import labels_of_record, parts_of_split
from pointmcd.datasets.teacher_cache import OF_POINTS, TeacherCache
from pointmcd.evaluation.classification import accuracies_of_parts
from pointmcd.evaluation.cross_fitting import Figures, Opinion, write_opinion
from pointmcd.folders import digest_of


def average_caches(
    root: str | Path, names: Sequence[str], shares: Sequence[float] | None, name: str
) -> tuple[Path, dict[str, Figures]]:
    """Write the cache of a teacher whose log-probabilities are the weighted mean of those of others.

    It speaks where all of them do. What it says of single points is that of the first that says any.

    Args:
        root: Folder of the prepared set.
        names: Of caches of that set, all with logits, and of the same labels.
        shares: What each counts for, above 0; brought to a sum of 1. None: all alike.
        name: Of the new cache.

    Returns:
        Its folder, and accuracies by teacher, ``average`` last, of the same shapes for all.

    Raises:
        FileNotFoundError: There is no cache of a name.
        ValueError: They are not two or more; one has no logits, or does not say which labels it has seen, or
            they differ in that or in their classes; or shares are not as many as names, or not above 0.
    """
    shares = [1.0] * len(names) if shares is None else list(shares)
    if len(shares) != len(names):
        raise ValueError(
            f"--shares has {len(shares)} numbers for {len(names)} teachers; give one above 0 for each"
        )
    for share in shares:
        if not (math.isfinite(share) and share > 0):
            raise ValueError(f"--shares has {share:g}; give each teacher a finite number above 0")
    if len(set(names)) < max(2, len(names)):
        raise ValueError(f"an average takes two different teachers or more, not {' and '.join(names)}")
    if name in names:
        raise ValueError(
            f"the average cannot have the name of one of its teachers, {name}; choose another --name"
        )
    caches = [TeacherCache(root, one) for one in names]
    prepared = caches[0].prepared
    said = {split: [_log_probabilities(cache, split) for cache in caches] for split in prepared.splits}
    labels = _labels(caches[0])
    for cache in caches[1:]:
        if any(_labels(cache)[key] != labels[key] for key in ("rows_sha256", "data_digest")):
            raise ValueError(
                f"{cache.folder} and {caches[0].folder} have seen different labels; cache both with the same "
                "--split, --labels and --fraction-seed"
            )
    weights = np.asarray(shares) / sum(shares)
    fitted = [cache.meta.get("fitted") for cache in caches]
    opinion = Opinion(
        {split: np.tensordot(weights, [logits for logits, _ in rows], 1) for split, rows in said.items()},
        {split: np.logical_and.reduce([spoken for _, spoken in rows]) for split, rows in said.items()},
        {
            "labels": labels,
            "class_names": _class_names(caches),
            **({"fitted": digest_of({"of": fitted, "shares": list(weights)})} if all(fitted) else {}),
            "members": [
                {"name": cache.name, "share": float(weight), "identity": cache.identity}
                for cache, weight in zip(caches, weights, strict=True)
            ],
        },
        next(filter(None, map(_of_points, caches)), {}),
    )
    known = labels_of_record(labels)
    figures: dict[str, Figures] = {one: {} for one in names}
    for split, rows in said.items() if opinion.record["class_names"] == prepared.class_names else ():
        truth = np.asarray(prepared.split(split).labels)
        parts = parts_of_split(truth, split, known)
        for one, (logits, _) in zip(names, rows, strict=True):
            figures[one] |= accuracies_of_parts(truth, logits, parts, opinion.spoken[split])
    folder, figures["average"] = write_opinion(root, name, opinion)
    return folder, figures


def _labels(cache: TeacherCache) -> dict[str, Any]:
    """Return the record of the labels that a teacher has seen."""
    if (labels := cache.meta.get("labels")) is None:
        raise ValueError(f"{cache.folder} does not say which labels it has seen; write it again")
    return labels


def _of_points(cache: TeacherCache) -> dict[str, dict[str, np.ndarray]]:
    """Return the arrays of single points by split; empty where a cache has none."""
    found = {}
    for split in cache.prepared.splits:
        arrays = cache.split(split).arrays
        if of_points := {name: array for name, array in arrays.items() if name.startswith(OF_POINTS)}:
            found[split] = of_points
    return found


def _class_names(caches: Sequence[TeacherCache]) -> list[str]:
    """Return the classes that all of them say; older ones do not name them."""
    named = [cache for cache in caches if "class_names" in cache.meta]
    for cache in named[1:]:
        if cache.meta["class_names"] != named[0].meta["class_names"]:
            raise ValueError(
                f"{cache.folder} and {named[0].folder} say different classes; give caches of the same classes"
            )
    return named[0].meta["class_names"] if named else caches[0].prepared.class_names


def _log_probabilities(cache: TeacherCache, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (S, K), and (S,) bool where the teacher may speak."""
    arrays = cache.split(split).arrays
    if "logits" not in arrays:
        raise ValueError(f"{cache.folder} has no logits to average; give caches that say classes")
    logits = log_softmax(np.asarray(arrays["logits"], np.float64), 1)
    return logits, np.asarray(arrays.get("has_logits", np.ones(len(logits), bool)))
