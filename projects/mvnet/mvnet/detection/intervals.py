"""How much better one detector is than another: a paired bootstrap over scenes and seeds."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pointmcd.evaluation.bootstrap import Difference
from projects.mvnet.mvnet.detection.metric import OVERLAPS, ClassBoxes, drawn_precision


def read_found(report: dict[str, Any]) -> list[ClassBoxes]:
    """Return what a report of ``BoxMetric`` holds as ``found``.

    Raises:
        ValueError: It holds none, or what is no such list.
    """
    try:
        return [
            ClassBoxes(
                row["label"],
                np.array(row["objects"], np.int64),
                np.array(row["scene"], np.int64),
                np.array(row["right"], bool).reshape(len(OVERLAPS), -1),
            )
            for row in report["found"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"this report does not say which boxes were right: {error!r}") from error


def mean_precision(found: Sequence[ClassBoxes], times: np.ndarray) -> np.ndarray:
    """Return the mean AP, in percent, of draws of scenes, over the classes that have an object in the draw.

    Args:
        found: By class, as ``boxes_by_class`` gives it, at least one.
        times: (B, S) how often each scene is in each of B draws.

    Returns:
        (O, B), for each of ``OVERLAPS``; NaN where a draw has no object at all.
    """
    values = np.full((len(found), len(OVERLAPS), len(times)), np.nan)
    for value, (_, objects, scene, right) in zip(values, found, strict=True):
        count = times @ objects
        drawn = times[count > 0][:, scene]
        for row, hits in zip(value, right, strict=True):
            row[count > 0] = drawn_precision(hits, drawn, count[count > 0])
    there = np.isfinite(values[:, 0]).sum(0)
    return np.divide(
        100 * np.nansum(values, 0), there, out=np.full(values.shape[1:], np.nan), where=there > 0
    )


def paired_gain(
    first: Sequence[Sequence[ClassBoxes]],
    second: Sequence[Sequence[ClassBoxes]],
    samples: int = 1000,
    seed: int = 0,
) -> list[Difference]:
    """Return by how much the mean AP of ``second`` is above that of ``first``, for each of ``OVERLAPS``.

    Scenes and seeds are both drawn with replacement, the same for the two (percentile bootstrap; as
    ``pointmcd.evaluation.bootstrap.paired_difference``, but that an AP is no mean over scenes).

    Args:
        first: For each of R seeds what was found.
        second: Likewise, in the same scenes.
        samples: Number of draws.
        seed: Of the draws.

    Raises:
        ValueError: The two have not the same seeds, classes and true boxes.
    """
    truth = [[(one.label, one.objects.tolist()) for one in run] for run in (*first, *second)]
    if not first or len(first) != len(second) or any(run != truth[0] for run in truth):
        raise ValueError("the two sides need as many seeds, and the same true boxes in the same scenes")
    scenes, rng = len(first[0][0].objects), np.random.default_rng(seed)
    times = np.vstack(
        [np.ones((1, scenes)), rng.multinomial(scenes, np.full(scenes, 1 / scenes), samples)]
    )  # the first draw is the test set itself
    before, after = (np.array([mean_precision(run, times) for run in side]) for side in (first, second))
    gains = after - before  # (R, O, 1 + samples)
    seeds = len(first)
    weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), samples) / seeds
    drawn = np.einsum("br,rob->ob", weights, gains[..., 1:])
    low, high = np.nanpercentile(drawn, [2.5, 97.5], axis=1)
    return [
        Difference(float(mean), float(below), float(above))
        for mean, below, above in zip(gains[..., 0].mean(0), low, high, strict=True)
    ]
