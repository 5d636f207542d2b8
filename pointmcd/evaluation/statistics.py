"""Mean and spread over runs, and metrics' names, as reports hold them and tables show them."""

from collections.abc import Mapping, Sequence

import numpy as np


def mean_and_std(values: Sequence[float] | np.ndarray) -> dict[str, float | None]:
    """Return ``mean``, and ``std``, the sample standard deviation, None of a single value.

    Args:
        values: One a run, at least one.
    """
    return {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1)) if len(values) > 1 else None}


def plus_minus(spread: Mapping[str, float | None], digits: int = 1) -> str:
    """Return ``80.4 ± 0.2``, or ``80.4`` of a single run.

    Args:
        spread: With ``mean`` and ``std``.
        digits: After the point.
    """
    mean, std = spread["mean"], spread["std"]
    return f"{mean:.{digits}f}" if std is None else f"{mean:.{digits}f} ± {std:.{digits}f}"


def in_words(metric: str) -> str:
    """Return ``instance mIoU`` of ``instance_miou``."""
    return metric.replace("_", " ").replace("miou", "mIoU")


def counted(number: int, what: str) -> str:
    """Return ``1 shape``, ``2 shapes``, ``2 classes``, ``2 categories``."""
    if number == 1:
        return f"1 {what}"
    if what.endswith("y"):
        return f"{number} {what[:-1]}ies"
    return f"{number} {what}" + ("es" if what.endswith("s") else "s")


def with_unit(metric: str, value: float) -> str:
    """Return a figure in percent, but for the distances, whose names end in ``l1``."""
    return f"{value:.4f}" if metric.endswith("_l1") else f"{value:.2f} %"


def wilson_interval(right: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, in percent (Wilson, 1927): never empty, never beyond 0 and 100.

    Args:
        right: How many of them.
        total: At least 1.
    """
    z = 1.959963984540054
    share, weight = right / total, z * z / total
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * (share * (1 - share) / total + weight / (4 * total)) ** 0.5
    return 100 * max(middle - half, 0.0), 100 * min(middle + half, 1.0)
