"""Which training shapes a run may know the labels of, and how that is written down."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

HELD_OUT_EVERY = 5
PARTS_OF_TRAIN = ("fit", "held_out")


def rows_of_split(labels: np.ndarray, split: str) -> np.ndarray:
    """All rows of a stored split, or those of one of the two parts of train.

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


def labelled_rows(labels: np.ndarray, split: str, fraction: float = 1.0, seed: int = 0) -> np.ndarray:
    """The rows whose labels a run knows that trains on ``split`` with a fraction of each class's labels.

    Raises:
        ValueError: The fraction is not in (0, 1].
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"label_fraction is {fraction}, needs more than 0 and at most 1")
    rows = rows_of_split(labels, split)
    return rows if fraction == 1 else share_of_each_class(labels, rows, fraction, seed)


def labels_record(
    data_digest: str, split: str, rows: np.ndarray, fraction: float = 1.0, seed: int = 0
) -> dict[str, Any]:
    """What a teacher's ``meta.json`` says of the labels that it has seen.

    Args:
        data_digest: Of the prepared set.
        split: ``train`` or ``fit``.
        rows: Of ``labelled_rows``.
        fraction: Share of each class's labels.
        seed: Of the draw.
    """
    return {
        "data_digest": data_digest,
        "split": split,
        "label_fraction": fraction,
        "fraction_seed": seed,
        "count": len(rows),
        "rows_sha256": rows_digest(rows),
    }


def rows_digest(rows: np.ndarray) -> str:
    """SHA-256 of a list of rows, in hexadecimal."""
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
        f"({said_of_labels(seen)}), but this dataset knows those of {len(known)} other ones: what it says of "
        "the rest could be the answer. Cache a teacher of the dataset's own labels "
        "(tools/cache_teacher.py, --split, --labels and --fraction-seed), or give the dataset the same "
        "split, label_fraction and fraction_seed"
    )


def said_of_labels(seen: dict[str, Any]) -> str:
    """A record in words."""
    share = f", {100 * seen['label_fraction']:g} % of each class by seed {seen['fraction_seed']}"
    return f"split {seen['split']}" + (share if seen["label_fraction"] < 1 else "")
