"""Which training shapes a run may know the labels of, and how that is written down."""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

LOG = logging.getLogger("pointmcd")
HELD_OUT_EVERY = 5
PARTS_OF_TRAIN = ("fit", "held_out")
IN_NO_FOLD, NOT_SEEN = -1, -2
WithoutFold = tuple[int, int]
"""``(k, K)``: all labels but those of the k-th of K folds, counted from 0."""


class Labels(NamedTuple):
    """Which labels a run may see; the options of a dataset that say so."""

    split: str = "train"  # or "fit"
    fraction: float = 1.0
    seed: int = 0
    without_fold: WithoutFold | None = None


def rows_of_split(labels: np.ndarray, split: str) -> np.ndarray:
    """Return all rows of a stored split, or those of one of the two parts of train.

    Args:
        labels: (S,) of the stored split.
        split: ``fit`` and ``held_out`` (every 5th shape of each class) are parts; any other name is all.
    """
    if split not in PARTS_OF_TRAIN:
        return np.arange(len(labels))
    held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        held_out[np.flatnonzero(labels == label)[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]] = True
    return np.flatnonzero(held_out if split == "held_out" else ~held_out)


def share_of_each_class(labels: np.ndarray, rows: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Draw a share of ``rows`` from each class, at least one; the draw of one class is its own.

    Args:
        labels: (S,) classes of all shapes.
        rows: The shapes to draw from.
        fraction: In (0, 1].
        seed: Of the draw.

    Returns:
        The drawn rows, in their order.
    """
    drawn = []
    for label in np.unique(labels[rows]):
        own = rows[labels[rows] == label]
        count = max(1, round(fraction * len(own)))
        drawn.append(np.random.default_rng([seed, label]).permutation(own)[:count])
    return np.sort(np.concatenate(drawn))


def fold_numbers(labels: np.ndarray, folds: int, seed: int = 0) -> np.ndarray:
    """Spread the shapes of every class evenly over folds.

    Args:
        labels: (S,) classes.
        folds: K, at least 2.
        seed: Of the draw; that of one class is its own.

    Returns:
        (S,) int64: the fold of each shape, or -1 for the shapes of a class that has fewer than K. Those are
        in no fold: every teacher is trained on them, and none may speak of them.
    """
    if folds < 2:
        raise ValueError(f"the number of folds is {folds}, must be at least 2 (--folds 0: none)")
    numbers = np.full(len(labels), -1, np.int64)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        if len(own) >= folds:
            rng = np.random.default_rng([seed, int(label)])
            # where a class begins is drawn too: else the first folds are the largest
            numbers[rng.permutation(own)] = (np.arange(len(own)) + rng.integers(folds)) % folds
    return numbers


def folds_of_rows(count: int, labelled: np.ndarray, numbers: np.ndarray | None) -> np.ndarray:
    """Return (count,) int64: of each row of train the fold that its label is in, ``IN_NO_FOLD`` where it is
    in none and all teachers have seen it, or ``NOT_SEEN``.

    Args:
        count: Rows of train.
        labelled: (R,) those whose labels are seen.
        numbers: (R,) of ``fold_numbers``; None: there are no folds, and it makes no difference.
    """
    folds = np.full(count, NOT_SEEN, np.int64)
    if numbers is not None:
        folds[labelled] = numbers
    return folds


def labelled_rows(
    labels: np.ndarray,
    split: str,
    fraction: float = 1.0,
    seed: int = 0,
    without_fold: Sequence[int] | None = None,
) -> np.ndarray:
    """Return the rows whose labels a run knows, on ``split`` with a fraction of each class's labels.

    Args:
        labels: (S,) classes of the stored split.
        split: ``train``, ``fit`` ...
        fraction: In (0, 1].
        seed: Of the draw, and of the folds.
        without_fold: ``(k, K)`` leaves the k-th of K folds of these out (``fold_numbers``).

    Raises:
        ValueError: The fraction is not in (0, 1], or there is no such fold.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"label_fraction is {fraction}, must be more than 0 and at most 1")
    rows = rows_of_split(labels, split)
    if fraction < 1:
        rows = share_of_each_class(labels, rows, fraction, seed)
    if without_fold is None:
        return rows
    fold, folds = without_fold
    if not 0 <= fold < folds:
        raise ValueError(f"without_fold is {tuple(without_fold)}; give (k, K) with k from 0 to K - 1")
    return rows[fold_numbers(labels[rows], folds, seed) != fold]


def parts_of_split(labels: np.ndarray, stored: str, known: Labels) -> dict[str, np.ndarray]:
    """Return the rows of a stored split that a teacher's figures are of, by name.

    Args:
        labels: (S,) of the stored split.
        stored: Its name.
        known: The labels that the teacher has seen.

    Returns:
        All rows under the split's own name; of train also those of ``fit`` and ``held_out`` where the teacher
        has seen ``fit`` alone, and of ``unlabelled``, whose labels it might have seen and has not, where
        there are any.
    """
    parts = {stored: np.arange(len(labels))}
    if stored != "train":
        return parts
    if known.split == "fit":
        parts |= {part: rows_of_split(labels, part) for part in PARTS_OF_TRAIN}
    rest = np.setdiff1d(rows_of_split(labels, known.split), labelled_rows(labels, *known))
    return parts | ({"unlabelled": rest} if len(rest) else {})


def labels_record(
    data_digest: str,
    split: str,
    rows: np.ndarray,
    fraction: float = 1.0,
    seed: int = 0,
    without_fold: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Return what a teacher's ``meta.json`` says of the labels that it has seen.

    Args:
        data_digest: Of the prepared set.
        split: ``train`` or ``fit``.
        rows: Of ``labelled_rows``.
        fraction: Share of each class's labels.
        seed: Of the draw.
        without_fold: As ``labelled_rows``.
    """
    record = {
        "data_digest": data_digest,
        "split": split,
        "label_fraction": fraction,
        "fraction_seed": seed,
        "count": len(rows),
        "rows_sha256": rows_digest(rows),
    }
    return record if without_fold is None else record | {"without_fold": list(without_fold)}


def fold_record(labelled: np.ndarray, numbers: np.ndarray, fold: int) -> dict[str, Any]:
    """Return what ``meta.json`` says of one fold of a cross-fitted teacher.

    Args:
        labelled: (R,) rows whose labels are seen.
        numbers: (R,) of ``fold_numbers``.
        fold: Which.
    """
    return {
        "speaks_of": int((numbers == fold).sum()),
        "trained_on": int((numbers != fold).sum()),
        "trained_on_rows_sha256": rows_digest(labelled[numbers != fold]),
    }


def log_small_classes(labels: np.ndarray, names: Sequence[str], folds: int) -> None:
    """Say which classes are in no fold.

    Args:
        labels: (R,) classes of the shapes in no fold.
        names: Of the classes.
        folds: K.
    """
    if len(labels):
        small = [names[label] for label in np.unique(labels)]
        shown = ", ".join(small[:8]) + (" ..." if len(small) > 8 else "")
        LOG.warning(
            f"{len(small)} classes have fewer than {folds} labelled shapes; their {len(labels)} shapes keep "
            f"only their hard labels: {shown}"
        )


def labels_of_record(seen: dict[str, Any]) -> Labels:
    """Return the choice that ``labels_record`` has written down."""
    fold = seen.get("without_fold")
    without = None if fold is None else (int(fold[0]), int(fold[1]))
    return Labels(seen["split"], seen["label_fraction"], seen["fraction_seed"], without)


def rows_digest(rows: np.ndarray) -> str:
    """Return the SHA-256 of a list of rows, in hexadecimal."""
    return hashlib.sha256(np.sort(np.asarray(rows, "<i8")).tobytes()).hexdigest()


def check_labels_seen(
    seen: dict[str, Any] | None, teacher: Path, data_digest: str, known: np.ndarray
) -> None:
    """Refuse a teacher that has seen other labels of a set than the student may know.

    Args:
        seen: Of ``labels_record``, or None: it saw none, or its cache is older than the record.
        teacher: The folder of its cache, for the error.
        data_digest: Of the prepared set.
        known: The rows whose labels the student knows.

    Raises:
        ValueError: They differ.
    """
    if seen is None or seen["data_digest"] != data_digest or seen["rows_sha256"] == rows_digest(known):
        return
    raise ValueError(
        f"the teacher {teacher} has seen the labels of {seen['count']} shapes "
        f"({said_of_labels(seen)}), but this dataset knows those of {len(known)}, and not the same: what it "
        "says of the rest could be the answer. Cache a teacher of the dataset's own labels "
        "(pointmcd cache-teacher, --split, --labels and --fraction-seed), or give the dataset the same "
        "split, label_fraction, fraction_seed and without_fold"
    )


def said_of_labels(seen: dict[str, Any]) -> str:
    """Return a record in words."""
    share = f", {100 * seen['label_fraction']:g} % of each class by seed {seen['fraction_seed']}"
    said = f"split {seen['split']}" + (share if seen["label_fraction"] < 1 else "")
    if seen.get("without_fold"):
        said += ", without fold {} of {}".format(*seen["without_fold"])
    return said
